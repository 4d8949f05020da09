"""Rows, results and answers of `tool_configs`. Made by `make client`."""

from typing import Any

import msgspec


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a configuration does not match."""

    path: str
    message: str


class ValidateResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether `set` would accept a configuration."""

    valid: bool
    errors: tuple[Violation, ...]


class ToolConfigRow(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a tool."""

    tool_name: str
    enabled: bool
    config: dict[str, Any]
    refresh_interval: int | None = None
    notifications: bool
    updated_at: int
    version: int
    position: int
    schema: dict[str, Any] | None = None


class ConfigMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member that only one of the two versions has."""

    path: str
    value: Any


class ChangedConfigMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member that both versions have, with different values."""

    path: str
    before: Any = msgspec.field(name="from")
    after: Any = msgspec.field(name="to")


class ToolConfigDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The differences between two versions, in the order of the paths."""

    added: tuple[ConfigMember, ...]
    removed: tuple[ConfigMember, ...]
    changed: tuple[ChangedConfigMember, ...]

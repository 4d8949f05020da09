"""The commands of `tool_configs`. Made by `make client`."""

from typing import Annotated, Any, ClassVar

import msgspec

from hyperpage_client.commands.fields import Key, Text
from hyperpage_client.contract.commands import Command


class Set(Command, frozen=True, kw_only=True):
    """The whole configuration of a tool."""

    command_name: ClassVar[str] = "tool_configs.set"

    tool_name: Key
    enabled: bool = True
    config: dict[str, Any] = {}
    refresh_interval: Annotated[int, msgspec.Meta(ge=1, le=31622400000)] | None = None
    notifications: bool = True
    reason: Text | None = None


class Patch(Command, frozen=True, kw_only=True):
    """Changes of `config` as a JSON merge patch (RFC 7386): `null` removes a member."""

    command_name: ClassVar[str] = "tool_configs.patch"

    tool_name: Key
    patch: dict[str, Any]
    reason: Text | None = None


class Enable(Command, frozen=True, kw_only=True):
    """The tool is on from now on."""

    command_name: ClassVar[str] = "tool_configs.enable"

    tool_name: Key
    reason: Text | None = None


class Disable(Command, frozen=True, kw_only=True):
    """The tool is off from now on."""

    command_name: ClassVar[str] = "tool_configs.disable"

    tool_name: Key
    reason: Text | None = None


class SetRefreshInterval(Command, frozen=True, kw_only=True):
    """How often the tool is refreshed, in milliseconds; `null` leaves it to the tool."""

    command_name: ClassVar[str] = "tool_configs.set_refresh_interval"

    tool_name: Key
    refresh_interval: Annotated[int, msgspec.Meta(ge=1, le=31622400000)] | None
    reason: Text | None = None


class SetNotifications(Command, frozen=True, kw_only=True):
    """Whether the tool notifies."""

    command_name: ClassVar[str] = "tool_configs.set_notifications"

    tool_name: Key
    notifications: bool
    reason: Text | None = None


class Rollback(Command, frozen=True, kw_only=True):
    """A new version with the content of an old one, also of a tool that was deleted since."""

    command_name: ClassVar[str] = "tool_configs.rollback"

    tool_name: Key
    to_version: Annotated[int, msgspec.Meta(ge=1)]
    reason: Text | None = None


class Delete(Command, frozen=True, kw_only=True):
    """The tool has no configuration from now on."""

    command_name: ClassVar[str] = "tool_configs.delete"

    tool_name: Key
    reason: Text | None = None


class RegisterSchema(Command, frozen=True, kw_only=True):
    """From now on, the tool's configuration must match this JSON Schema; if there is one, it already does.

    The schema is of draft 2020-12, unless `$schema` says 2019-09 or draft 7. It refers to nothing but its own
    parts (`#/$defs/…`), and has no circle of references. Its work is bounded: regular expressions have no
    lookaround and no backreferences, and `unevaluatedProperties` is not nested deeply.
    """

    command_name: ClassVar[str] = "tool_configs.register_schema"

    tool_name: Key
    schema: dict[str, Any]
    reason: Text | None = None


class RemoveSchema(Command, frozen=True, kw_only=True):
    """The tool's configuration may be anything from now on."""

    command_name: ClassVar[str] = "tool_configs.remove_schema"

    tool_name: Key
    reason: Text | None = None


class Validate(Command, frozen=True, kw_only=True):
    """Whether `set` would accept this `config` for the tool; nothing is stored.

    The result is `{"valid": …, "errors": [{"path", "message"}]}`, with the first errors if there are many.
    """

    command_name: ClassVar[str] = "tool_configs.validate"

    tool_name: Key
    config: dict[str, Any]

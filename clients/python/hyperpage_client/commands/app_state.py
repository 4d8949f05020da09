"""The commands of `app_state`. Made by `make client`."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from hyperpage_client.commands.fields import Key
from hyperpage_client.contract.commands import Command


class AppStateItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key with its value, which it holds for `ttl_ms` milliseconds, if given."""

    key: Key
    value: Any
    ttl_ms: Annotated[int, msgspec.Meta(ge=1, le=31622400000)] | None = None


class Set(Command, frozen=True, kw_only=True):
    """The key holds this value from now on, or for `ttl_ms` milliseconds."""

    command_name: ClassVar[str] = "app_state.set"

    key: Key
    value: Any
    ttl_ms: Annotated[int, msgspec.Meta(ge=1, le=31622400000)] | None = None


class SetIf(Command, frozen=True, kw_only=True):
    """As `set`, if the key is at `expected_version` (0: holds nothing)."""

    command_name: ClassVar[str] = "app_state.set_if"

    key: Key
    value: Any
    expected_version: Annotated[int, msgspec.Meta(ge=0)]
    ttl_ms: Annotated[int, msgspec.Meta(ge=1, le=31622400000)] | None = None


class Delete(Command, frozen=True, kw_only=True):
    """The key holds nothing from now on."""

    command_name: ClassVar[str] = "app_state.delete"

    key: Key


class SetMany(Command, frozen=True, kw_only=True):
    """All of these keys hold these values from now on, or none of them."""

    command_name: ClassVar[str] = "app_state.set_many"

    items: Annotated[Sequence[AppStateItem], msgspec.Meta(min_length=1, max_length=1000)]

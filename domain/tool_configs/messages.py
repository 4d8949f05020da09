"""The commands and the events of tool configurations."""

from typing import Annotated, Any

import msgspec

from domain.messages import Command, Event, Key, Text, Time, about

# In milliseconds, as in the system before; up to 366 days.
RefreshInterval = Annotated[int, msgspec.Meta(ge=1, le=31_622_400_000)]


class Set(Command, frozen=True, kw_only=True):
    """The whole configuration of a tool."""

    tool_name: Key
    enabled: bool = True
    config: dict[str, Any] = {}
    refresh_interval: RefreshInterval | None = None
    notifications: bool = True
    reason: Text | None = None


class Patch(Command, frozen=True, kw_only=True):
    """Changes of `config` as a JSON merge patch (RFC 7386): `null` removes a member."""

    tool_name: Key
    patch: dict[str, Any]
    reason: Text | None = None


class Enable(Command, frozen=True, kw_only=True):
    """The tool is on from now on."""

    tool_name: Key
    reason: Text | None = None


class Disable(Command, frozen=True, kw_only=True):
    """The tool is off from now on."""

    tool_name: Key
    reason: Text | None = None


class SetRefreshInterval(Command, frozen=True, kw_only=True):
    """How often the tool is refreshed, in milliseconds; `null` leaves it to the tool."""

    tool_name: Key
    refresh_interval: RefreshInterval | None
    reason: Text | None = None


class SetNotifications(Command, frozen=True, kw_only=True):
    """Whether the tool notifies."""

    tool_name: Key
    notifications: bool
    reason: Text | None = None


class Rollback(Command, frozen=True, kw_only=True):
    """A new version with the content of an old one, also of a tool that was deleted since."""

    tool_name: Key
    to_version: Annotated[int, msgspec.Meta(ge=1)]
    reason: Text | None = None


class Delete(Command, frozen=True, kw_only=True):
    """The tool has no configuration from now on."""

    tool_name: Key
    reason: Text | None = None


class RegisterSchema(Command, frozen=True, kw_only=True):
    """From now on, the tool's configuration must match this JSON Schema; if there is one, it already does.

    The schema is of draft 2020-12, unless `$schema` says 2019-09 or draft 7. It refers to nothing but its own
    parts (`#/$defs/…`), and has no circle of references. Its work is bounded: regular expressions have no
    lookaround and no backreferences, and `unevaluatedProperties` is not nested deeply.
    """

    tool_name: Key
    schema: dict[str, Any]
    reason: Text | None = None


class RemoveSchema(Command, frozen=True, kw_only=True):
    """The tool's configuration may be anything from now on."""

    tool_name: Key
    reason: Text | None = None


class Validate(Command, frozen=True, kw_only=True):
    """Whether `set` would accept this `config` for the tool; nothing is stored.

    The result is `{"valid": …, "errors": [{"path", "message"}]}`, with the first errors if there are many.
    """

    tool_name: Key
    config: dict[str, Any]


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a configuration does not match."""

    path: str
    message: str


class ValidateResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether `set` would accept a configuration."""

    valid: Annotated[bool, about("whether `set` would accept the configuration")]
    errors: Annotated[tuple[Violation, ...], about("the `path` and `message` of each mismatch, 20 at most")]


class Import(Command, frozen=True, kw_only=True):
    """The service's own: the configuration of a tool in the system before, as of `updated_at`."""

    tool_name: Key
    enabled: bool
    config: dict[str, Any] = {}
    refresh_interval: Annotated[int, msgspec.Meta(ge=0, le=31_622_400_000)] | None = None
    notifications: bool
    updated_at: Time


class Content(Event, frozen=True, kw_only=True):
    """A whole configuration; every event but the deletion carries it, so that any version is read at once."""

    enabled: bool = True
    config: dict[str, Any] = {}
    refresh_interval: int | None = None
    notifications: bool = True
    reason: str | None = None


class ConfigSet(Content, frozen=True, kw_only=True):
    pass


class Imported(Content, frozen=True, kw_only=True):
    """The configuration as the system before had it, since `updated_at`."""

    updated_at: int


class ConfigPatched(Content, frozen=True, kw_only=True):
    pass


class Enabled(Content, frozen=True, kw_only=True):
    pass


class Disabled(Content, frozen=True, kw_only=True):
    pass


class RefreshIntervalSet(Content, frozen=True, kw_only=True):
    pass


class NotificationsSet(Content, frozen=True, kw_only=True):
    pass


class RolledBack(Content, frozen=True, kw_only=True):
    to_version: int


class Deleted(Event, frozen=True, kw_only=True):
    reason: str | None = None


class SchemaRegistered(Event, frozen=True, kw_only=True):
    schema: dict[str, Any]
    reason: str | None = None


class SchemaRemoved(Event, frozen=True, kw_only=True):
    reason: str | None = None

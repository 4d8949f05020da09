"""Tool configurations: whether a tool is on, and how it is set, with every version kept.

absent --set--> present --set, patch, enable, disable, set_refresh_interval, set_notifications, rollback-->
present --delete--> absent (the stream and its versions go on; rollback brings an old version back)
"""

from typing import Annotated, Any

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import NotFound, TooLarge
from domain.json_values import merge_patch
from domain.messages import Command, Event, Key, Recorded, Text

TABLE = "tool_configs"

# As it is stored. Patches would make it grow without end, until an event fits into no message.
MAXIMUM_CONFIG_BYTES = 256 * 1024

# Milliseconds, as in the system this replaces; up to 366 days.
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


class Content(Event, frozen=True, kw_only=True):
    """A whole configuration; every event but the deletion carries it, so that any version is read at once."""

    enabled: bool = True
    config: dict[str, Any] = {}
    refresh_interval: int | None = None
    notifications: bool = True
    reason: str | None = None


class ConfigSet(Content, frozen=True, kw_only=True):
    pass


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


class ToolConfig(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The configuration of a tool."""

    tool_name: str
    enabled: bool
    config: dict[str, Any]
    refresh_interval: int | None
    notifications: bool
    updated_at: int


def _set(state: ToolConfig | None, command: Set, context: Context, key: str) -> Decision:
    return _changed(
        state,
        key,
        ConfigSet(
            enabled=command.enabled,
            config=command.config,
            refresh_interval=command.refresh_interval,
            notifications=command.notifications,
            reason=command.reason,
        ),
    )


def _patch(state: ToolConfig | None, command: Patch, context: Context, key: str) -> Decision:
    current = _existing(state, key)
    config = merge_patch(current.config, command.patch)
    return _changed(state, key, _with(ConfigPatched, current, command.reason, config=config))


def _enable(state: ToolConfig | None, command: Enable, context: Context, key: str) -> Decision:
    return _changed(state, key, _with(Enabled, _existing(state, key), command.reason, enabled=True))


def _disable(state: ToolConfig | None, command: Disable, context: Context, key: str) -> Decision:
    return _changed(state, key, _with(Disabled, _existing(state, key), command.reason, enabled=False))


def _set_refresh_interval(
    state: ToolConfig | None, command: SetRefreshInterval, context: Context, key: str
) -> Decision:
    current = _existing(state, key)
    return _changed(
        state,
        key,
        _with(RefreshIntervalSet, current, command.reason, refresh_interval=command.refresh_interval),
    )


def _set_notifications(
    state: ToolConfig | None, command: SetNotifications, context: Context, key: str
) -> Decision:
    current = _existing(state, key)
    return _changed(
        state, key, _with(NotificationsSet, current, command.reason, notifications=command.notifications)
    )


def _rollback(state: ToolConfig | None, command: Rollback, context: Context, key: str) -> Decision:
    old = context.state_at(TABLE, key, command.to_version)
    if old is None:
        raise NotFound(
            f"{key} has no configuration at version {command.to_version}", to_version=command.to_version
        )
    return _changed(state, key, _with(RolledBack, old, command.reason, to_version=command.to_version))


def _delete(state: ToolConfig | None, command: Delete, context: Context, key: str) -> Decision:
    _existing(state, key)
    return Decision(events=((key, Deleted(reason=command.reason)),))


def _with(event: type[Content], current: ToolConfig, reason: str | None, **changes: Any) -> Content:
    content: dict[str, Any] = {
        "enabled": current.enabled,
        "config": current.config,
        "refresh_interval": current.refresh_interval,
        "notifications": current.notifications,
    }
    return event(**(content | changes), reason=reason)


def _changed(state: ToolConfig | None, key: str, event: Content) -> Decision:
    # The same configuration again is accepted, and is not a change.
    if state is not None and _content(state) == _content(event):
        return Decision()
    size = len(msgspec.json.encode(event.config))
    if size > MAXIMUM_CONFIG_BYTES:
        raise TooLarge(
            f"a configuration has at most {MAXIMUM_CONFIG_BYTES} bytes",
            limit_bytes=MAXIMUM_CONFIG_BYTES,
            size_bytes=size,
        )
    return Decision(events=((key, event),))


def _content(of: ToolConfig | Content) -> tuple[object, ...]:
    # Encoded, since Python holds 1, 1.0 and True for equal, and a configuration does not.
    return (of.enabled, msgspec.json.encode(of.config, order="sorted"), of.refresh_interval, of.notifications)


def _existing(state: ToolConfig | None, key: str) -> ToolConfig:
    if state is None:
        raise NotFound(f"there is no configuration of {key}", hint="make one with tool_configs.set")
    return state


def evolve(state: ToolConfig | None, recorded: Recorded) -> ToolConfig | None:
    """The configuration after an event."""
    event = recorded.event
    if isinstance(event, Content):
        return ToolConfig(
            tool_name=recorded.key,
            enabled=event.enabled,
            config=event.config,
            refresh_interval=event.refresh_interval,
            notifications=event.notifications,
            updated_at=recorded.recorded_at,
        )
    if isinstance(event, Deleted):
        return None
    raise TypeError(f"not an event of a tool configuration: {type(event).__name__}")


def _key(command: Any) -> str:
    return str(command.tool_name)


DECIDER = Decider(
    table=TABLE,
    state=ToolConfig,
    evolve=evolve,
    events={
        "tool_config.set.v1": ConfigSet,
        "tool_config.patched.v1": ConfigPatched,
        "tool_config.enabled.v1": Enabled,
        "tool_config.disabled.v1": Disabled,
        "tool_config.refresh_interval_set.v1": RefreshIntervalSet,
        "tool_config.notifications_set.v1": NotificationsSet,
        "tool_config.rolled_back.v1": RolledBack,
        "tool_config.deleted.v1": Deleted,
    },
    verbs=(
        Verb(name="set", command=Set, key=_key, decide=_set),
        Verb(name="patch", command=Patch, key=_key, decide=_patch),
        Verb(name="enable", command=Enable, key=_key, decide=_enable),
        Verb(name="disable", command=Disable, key=_key, decide=_disable),
        Verb(name="set_refresh_interval", command=SetRefreshInterval, key=_key, decide=_set_refresh_interval),
        Verb(name="set_notifications", command=SetNotifications, key=_key, decide=_set_notifications),
        Verb(name="rollback", command=Rollback, key=_key, decide=_rollback),
        Verb(name="delete", command=Delete, key=_key, decide=_delete),
    ),
)

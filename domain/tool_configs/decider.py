"""The decisions about tool configurations, and the state that follows from their events."""

from operator import attrgetter
from typing import Any

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import AlreadyExists, NotFound, RuleViolated, TooLarge
from domain.json_schema import MAXIMUM_ERRORS, RULE, Budget, Violation, require_schema, violations
from domain.json_values import merge_patch
from domain.messages import Recorded
from domain.tool_configs import messages

TABLE = "tool_configs"

# The most bytes of a configuration as it is stored. Without a bound, patches could make it grow until its
# event fits into no message.
MAXIMUM_CONFIG_BYTES = 256 * 1024
# The nanoseconds of comparing and storing a configuration for each byte, in the work of a batch.
_BYTE_NS = 30


class ToolConfig(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The configuration of a tool, and the JSON of the schema that it matches.

    One that is not `present` is no configuration: nothing but a schema is known of the tool.
    """

    tool_name: str
    updated_at: int
    present: bool = True
    enabled: bool = True
    config: dict[str, Any] = {}
    refresh_interval: int | None = None
    notifications: bool = True
    schema: str | None = None


def _set(state: ToolConfig | None, command: messages.Set, context: Context, key: str) -> Decision:
    return _changed(state, key, context, msgspec.convert(command, messages.ConfigSet, from_attributes=True))


def _patch(state: ToolConfig | None, command: messages.Patch, context: Context, key: str) -> Decision:
    config = merge_patch(_existing(state, key).config, command.patch)
    return _altered(messages.ConfigPatched, state, command, context, config=config)


def _enable(state: ToolConfig | None, command: messages.Enable, context: Context, key: str) -> Decision:
    return _altered(messages.Enabled, state, command, context, enabled=True)


def _disable(state: ToolConfig | None, command: messages.Disable, context: Context, key: str) -> Decision:
    return _altered(messages.Disabled, state, command, context, enabled=False)


def _set_refresh_interval(
    state: ToolConfig | None, command: messages.SetRefreshInterval, context: Context, key: str
) -> Decision:
    interval = command.refresh_interval
    return _altered(messages.RefreshIntervalSet, state, command, context, refresh_interval=interval)


def _set_notifications(
    state: ToolConfig | None, command: messages.SetNotifications, context: Context, key: str
) -> Decision:
    notifications = command.notifications
    return _altered(messages.NotificationsSet, state, command, context, notifications=notifications)


def _rollback(state: ToolConfig | None, command: messages.Rollback, context: Context, key: str) -> Decision:
    context.work.take()
    old = context.state_at(TABLE, key, command.to_version)
    if old is None or not old.present:
        raise NotFound(
            f"{key} has no configuration at version {command.to_version}", to_version=command.to_version
        )
    return _changed(
        state, key, context, _with(messages.RolledBack, old, command.reason, to_version=command.to_version)
    )


def _delete(state: ToolConfig | None, command: messages.Delete, context: Context, key: str) -> Decision:
    _existing(state, key)
    return Decision(events=((key, messages.Deleted(reason=command.reason)),))


def _import(state: ToolConfig | None, command: messages.Import, context: Context, key: str) -> Decision:
    if exists(state, context.now):
        raise AlreadyExists(f"there is a configuration of {key} already")
    imported = msgspec.convert(command, messages.Imported, from_attributes=True)
    # An operator's import has a budget of its own, so the work of a batch does not limit it.
    return _changed(state, key, context, imported, Budget())


def _register_schema(
    state: ToolConfig | None, command: messages.RegisterSchema, context: Context, key: str
) -> Decision:
    require_schema(command.schema, context.work)
    schema = msgspec.json.encode(command.schema).decode()
    if state is not None and state.schema == schema:
        return Decision()
    if state is not None and state.present:
        _require_match(schema, state.config, key, context, context.work)
    return Decision(events=((key, messages.SchemaRegistered(schema=command.schema, reason=command.reason)),))


def _remove_schema(
    state: ToolConfig | None, command: messages.RemoveSchema, context: Context, key: str
) -> Decision:
    if state is None or state.schema is None:
        raise NotFound(f"{key} has no schema")
    return Decision(events=((key, messages.SchemaRemoved(reason=command.reason)),))


def _validate(state: ToolConfig | None, command: messages.Validate, context: Context, key: str) -> Decision:
    _require_size(command.config)
    errors: list[Violation] = []
    if state is not None and state.schema is not None:
        limit = _room_for_errors(context)
        errors = violations(state.schema, command.config, "$.config", limit=limit, budget=context.work)
    shown = tuple(messages.Violation(**one) for one in errors)
    return Decision(result=messages.ValidateResult(valid=not errors, errors=shown))


def _altered(
    event: type[messages.Content], state: ToolConfig | None, command: Any, context: Context, **changes: Any
) -> Decision:
    """The decision to change some members of an existing configuration."""
    key = command.tool_name
    return _changed(state, key, context, _with(event, _existing(state, key), command.reason, **changes))


def _with(
    event: type[messages.Content], current: ToolConfig, reason: str | None, **changes: Any
) -> messages.Content:
    content: dict[str, Any] = {
        "enabled": current.enabled,
        "config": current.config,
        "refresh_interval": current.refresh_interval,
        "notifications": current.notifications,
    }
    return event(**(content | changes), reason=reason)


def _changed(
    state: ToolConfig | None,
    key: str,
    context: Context,
    event: messages.Content,
    budget: Budget | None = None,
) -> Decision:
    work = context.work if budget is None else budget
    # With nothing left of the budget, the command is refused before its size is measured.
    work.take()
    # The same configuration again is accepted, and changes nothing.
    if state is not None and state.present and _content(state) == _content(event):
        return Decision()
    # The whole configuration counts: even a small patch makes a new version of it.
    work.take(_require_size(event.config) * _BYTE_NS)
    if state is not None and state.schema is not None and event.config is not state.config:
        _require_match(state.schema, event.config, key, context, work)
    return Decision(events=((key, event),))


def _require_size(config: dict[str, Any]) -> int:
    """The size in bytes of a configuration that is not too large."""
    size = len(msgspec.json.encode(config))
    if size > MAXIMUM_CONFIG_BYTES:
        raise TooLarge(
            f"a configuration has at most {MAXIMUM_CONFIG_BYTES} bytes",
            limit_bytes=MAXIMUM_CONFIG_BYTES,
            size_bytes=size,
        )
    return size


def _require_match(schema: str, config: dict[str, Any], key: str, context: Context, work: Budget) -> None:
    limit = _room_for_errors(context)
    errors = violations(schema, config, "$.config", limit=limit, budget=work)
    if errors:
        raise RuleViolated(
            "config_matches_schema",
            f"the configuration does not match the schema of {key}",
            hint="tool_configs.validate tries one without storing it",
            errors=errors,
        )


def _room_for_errors(context: Context) -> int:
    # By the room in the answer: in a batch of a thousand commands, each has room for one error.
    return min(MAXIMUM_ERRORS, context.answer_bytes_left // 2_000)


def _content(of: ToolConfig | messages.Content) -> tuple[object, ...]:
    # Compared as JSON, since 1, 1.0 and True are equal in Python, but not in a configuration.
    return (of.enabled, msgspec.json.encode(of.config, order="sorted"), of.refresh_interval, of.notifications)


def _existing(state: ToolConfig | None, key: str) -> ToolConfig:
    if state is None or not state.present:
        raise NotFound(f"there is no configuration of {key}", hint="make one with tool_configs.set")
    return state


def exists(state: ToolConfig | None, now: int) -> bool:
    """Whether a tool has a configuration."""
    return state is not None and state.present


def evolve(state: ToolConfig | None, recorded: Recorded) -> ToolConfig | None:
    """The configuration after an event."""
    event = recorded.event
    if isinstance(event, messages.Content):
        return ToolConfig(
            tool_name=recorded.key,
            enabled=event.enabled,
            config=event.config,
            refresh_interval=event.refresh_interval,
            notifications=event.notifications,
            updated_at=event.updated_at if isinstance(event, messages.Imported) else recorded.recorded_at,
            schema=None if state is None else state.schema,
        )
    if isinstance(event, messages.Deleted):
        return None if state is None or state.schema is None else _with_schema(None, recorded, state.schema)
    if isinstance(event, messages.SchemaRegistered):
        return _with_schema(state, recorded, msgspec.json.encode(event.schema).decode())
    if isinstance(event, messages.SchemaRemoved):
        return _with_schema(state, recorded, None) if state is not None and state.present else None
    raise TypeError(f"not an event of a tool configuration: {type(event).__name__}")


def _with_schema(state: ToolConfig | None, recorded: Recorded, schema: str | None) -> ToolConfig:
    if state is None:
        return ToolConfig(
            tool_name=recorded.key, updated_at=recorded.recorded_at, present=False, schema=schema
        )
    return msgspec.structs.replace(state, updated_at=recorded.recorded_at, schema=schema)


_key = attrgetter("tool_name")
DECIDER = Decider(
    table=TABLE,
    state=ToolConfig,
    evolve=evolve,
    exists=exists,
    queries=("diff",),
    events={
        "tool_config.set.v1": messages.ConfigSet,
        "tool_config.imported.v1": messages.Imported,
        "tool_config.patched.v1": messages.ConfigPatched,
        "tool_config.enabled.v1": messages.Enabled,
        "tool_config.disabled.v1": messages.Disabled,
        "tool_config.refresh_interval_set.v1": messages.RefreshIntervalSet,
        "tool_config.notifications_set.v1": messages.NotificationsSet,
        "tool_config.rolled_back.v1": messages.RolledBack,
        "tool_config.deleted.v1": messages.Deleted,
        "tool_config.schema_registered.v1": messages.SchemaRegistered,
        "tool_config.schema_removed.v1": messages.SchemaRemoved,
    },
    verbs=(
        Verb(
            name="set",
            method="PUT",
            command=messages.Set,
            key=_key,
            decide=_set,
            events=(messages.ConfigSet,),
            refusals=(TooLarge,),
            rules=("config_matches_schema", RULE),
        ),
        Verb(
            name="patch",
            method="PATCH",
            command=messages.Patch,
            key=_key,
            decide=_patch,
            events=(messages.ConfigPatched,),
            refusals=(NotFound, TooLarge),
            rules=("config_matches_schema", RULE),
        ),
        Verb(
            name="enable",
            command=messages.Enable,
            key=_key,
            decide=_enable,
            events=(messages.Enabled,),
            refusals=(NotFound, TooLarge),
        ),
        Verb(
            name="disable",
            command=messages.Disable,
            key=_key,
            decide=_disable,
            events=(messages.Disabled,),
            refusals=(NotFound, TooLarge),
        ),
        Verb(
            name="set_refresh_interval",
            command=messages.SetRefreshInterval,
            key=_key,
            decide=_set_refresh_interval,
            events=(messages.RefreshIntervalSet,),
            refusals=(NotFound, TooLarge),
        ),
        Verb(
            name="set_notifications",
            command=messages.SetNotifications,
            key=_key,
            decide=_set_notifications,
            events=(messages.NotificationsSet,),
            refusals=(NotFound, TooLarge),
        ),
        Verb(
            name="rollback",
            command=messages.Rollback,
            key=_key,
            decide=_rollback,
            events=(messages.RolledBack,),
            refusals=(NotFound, TooLarge),
            rules=("config_matches_schema", RULE),
        ),
        Verb(
            name="delete",
            method="DELETE",
            command=messages.Delete,
            key=_key,
            decide=_delete,
            events=(messages.Deleted,),
            refusals=(NotFound,),
        ),
        Verb(
            name="register_schema",
            command=messages.RegisterSchema,
            key=_key,
            decide=_register_schema,
            events=(messages.SchemaRegistered,),
            refusals=(TooLarge,),
            rules=("config_matches_schema",),
        ),
        Verb(
            name="remove_schema",
            command=messages.RemoveSchema,
            key=_key,
            decide=_remove_schema,
            events=(messages.SchemaRemoved,),
            refusals=(NotFound,),
        ),
        Verb(
            name="validate",
            command=messages.Validate,
            key=_key,
            decide=_validate,
            remembered=False,
            refusals=(TooLarge,),
            rules=(RULE,),
            result=messages.ValidateResult,
        ),
        Verb(
            name="import",
            command=messages.Import,
            key=_key,
            decide=_import,
            internal=True,
            events=(messages.Imported,),
            refusals=(AlreadyExists, TooLarge),
            rules=("config_matches_schema", RULE),
        ),
    ),
)

"""Application state: a JSON value under a key, with its history.

absent --set, set_if, set_many, import--> present --set, set_if, set_many--> present
                                  present --delete--> absent (the stream and its versions go on)
                                  present --expire--> absent, once its `ttl_ms` is over

Once its `ttl_ms` is over, a value counts as gone, even before its `app_state.expired` event is recorded. A
command that sets the key in between records that event first.
"""

from operator import attrgetter
from typing import Annotated

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import AlreadyExists, Invalid, NotFound, TooLarge, VersionConflict
from domain.messages import Command, Event, Json, Key, Recorded, Time

TABLE = "app_state"

MAXIMUM_VALUE_BYTES = 64 * 1024
MAXIMUM_ITEMS = 1_000

# How long a value is kept, in milliseconds; up to 366 days.
TimeToLive = Annotated[int, msgspec.Meta(ge=1, le=31_622_400_000)]


class Set(Command, frozen=True, kw_only=True):
    """The key holds this value from now on, or for `ttl_ms` milliseconds."""

    key: Key
    value: Json
    ttl_ms: TimeToLive | None = None


class SetIf(Command, frozen=True, kw_only=True):
    """As `set`, if the key is at `expected_version` (0: holds nothing)."""

    key: Key
    value: Json
    expected_version: Annotated[int, msgspec.Meta(ge=0)]
    ttl_ms: TimeToLive | None = None


class Delete(Command, frozen=True, kw_only=True):
    """The key holds nothing from now on."""

    key: Key


class AppStateItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key with its value, which it holds for `ttl_ms` milliseconds, if given."""

    key: Key
    value: Json
    ttl_ms: TimeToLive | None = None


class SetMany(Command, frozen=True, kw_only=True):
    """All of these keys hold these values from now on, or none of them."""

    items: Annotated[tuple[AppStateItem, ...], msgspec.Meta(min_length=1, max_length=MAXIMUM_ITEMS)]


class Expire(Command, frozen=True, kw_only=True):
    """The service's own: the time of a value is over."""

    key: Key


class Import(Command, frozen=True, kw_only=True):
    """The service's own: the value of a key in the system before, and since when, if that is known."""

    key: Key
    value: Json
    updated_at: Time | None = None


class ValueSet(Event, frozen=True, kw_only=True):
    value: Json
    expires_at: int | None = None


class Imported(Event, frozen=True, kw_only=True):
    """The value that the key had in the system before, set there at `updated_at`, where that is known."""

    value: Json
    updated_at: int | None = None


class Deleted(Event, frozen=True, kw_only=True):
    pass


class Expired(Event, frozen=True, kw_only=True):
    pass


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a key holds. `version` is that of its stream; at `expires_at` (milliseconds), it holds nothing."""

    key: str
    value: Json
    version: int
    updated_at: int
    expires_at: int | None = None


def _set(state: Entry | None, command: Set, context: Context, key: str) -> Decision:
    return Decision(events=_change(state, command, context, "$.value"))


def _set_if(state: Entry | None, command: SetIf, context: Context, key: str) -> Decision:
    version = state.version if state is not None and exists(state, context.now) else 0
    if version != command.expected_version:
        raise VersionConflict(
            f"{key} is at version {version}, not {command.expected_version}",
            hint="read it again, and decide on what it holds now",
            expected_version=command.expected_version,
            actual_version=version,
        )
    return Decision(events=_change(state, command, context, "$.value"))


def _delete(state: Entry | None, command: Delete, context: Context, key: str) -> Decision:
    if not exists(state, context.now):
        raise NotFound(f"{key} holds nothing")
    return Decision(events=((key, Deleted()),))


def _set_many(state: None, command: SetMany, context: Context, key: None) -> Decision:
    events: list[tuple[str, Event]] = []
    seen: set[str] = set()
    for index, item in enumerate(command.items):
        if item.key in seen:
            raise Invalid(f"{item.key} is there twice", path=f"$.items[{index}].key")
        seen.add(item.key)
        events.extend(_change(context.state(TABLE, item.key), item, context, f"$.items[{index}].value"))
    return Decision(events=tuple(events))


def _expire(state: Entry | None, command: Expire, context: Context, key: str) -> Decision:
    # The key may have been set again since the service found that it had expired.
    if state is None or exists(state, context.now):
        return Decision()
    return Decision(events=((key, Expired()),))


def _import(state: Entry | None, command: Import, context: Context, key: str) -> Decision:
    if exists(state, context.now):
        raise AlreadyExists(f"{key} holds something already")
    _require_size(command.value, "$.value")
    event = Imported(value=command.value.copy(), updated_at=command.updated_at)
    return Decision(events=((key, event),) if state is None else ((key, Expired()), (key, event)))


def _change(
    state: Entry | None, wished: Set | SetIf | AppStateItem, context: Context, path: str
) -> tuple[tuple[str, Event], ...]:
    _require_size(wished.value, path)
    expires_at = None if wished.ttl_ms is None else context.now + wished.ttl_ms
    # Copied: the value as it was decoded would keep its whole message in memory.
    event = ValueSet(value=wished.value.copy(), expires_at=expires_at)
    if state is None:
        return ((wished.key, event),)
    if not exists(state, context.now):
        return ((wished.key, Expired()), (wished.key, event))
    if bytes(state.value) == bytes(wished.value) and state.expires_at == expires_at:
        return ()
    return ((wished.key, event),)


def _require_size(value: Json, path: str) -> None:
    size = len(bytes(value))
    if size > MAXIMUM_VALUE_BYTES:
        raise TooLarge(
            f"a value is at most {MAXIMUM_VALUE_BYTES} bytes",
            limit_bytes=MAXIMUM_VALUE_BYTES,
            size_bytes=size,
            path=path,
        )


def exists(state: Entry | None, now: int) -> bool:
    """Whether a key holds a value at a time."""
    return state is not None and (state.expires_at is None or now < state.expires_at)


def evolve(state: Entry | None, recorded: Recorded) -> Entry | None:
    """The state of the key after an event."""
    match recorded.event:
        case ValueSet(value=value, expires_at=expires_at):
            return Entry(
                key=recorded.key,
                value=value,
                version=recorded.version,
                updated_at=recorded.recorded_at,
                expires_at=expires_at,
            )
        case Imported(value=value, updated_at=updated_at):
            return Entry(
                key=recorded.key,
                value=value,
                version=recorded.version,
                updated_at=recorded.recorded_at if updated_at is None else updated_at,
            )
        case Deleted() | Expired():
            return None
        case event:
            raise TypeError(f"not an event of the application state: {type(event).__name__}")


_key = attrgetter("key")
# Leaves room for the key, the field names and escapes around the largest value.
_VALUE_BODY_BYTES = MAXIMUM_VALUE_BYTES + 1024

DECIDER = Decider(
    table=TABLE,
    state=Entry,
    evolve=evolve,
    exists=exists,
    events={
        "app_state.set.v1": ValueSet,
        "app_state.imported.v1": Imported,
        "app_state.deleted.v1": Deleted,
        "app_state.expired.v1": Expired,
    },
    verbs=(
        Verb(
            name="set",
            method="PUT",
            command=Set,
            key=_key,
            decide=_set,
            maximum_bytes=_VALUE_BODY_BYTES,
            events=(ValueSet, Expired),
            refusals=(TooLarge,),
        ),
        Verb(
            name="set_if",
            command=SetIf,
            key=_key,
            decide=_set_if,
            maximum_bytes=_VALUE_BODY_BYTES,
            events=(ValueSet, Expired),
            refusals=(TooLarge, VersionConflict),
        ),
        Verb(
            name="delete",
            method="DELETE",
            command=Delete,
            key=_key,
            decide=_delete,
            events=(Deleted,),
            refusals=(NotFound,),
        ),
        Verb(
            name="set_many",
            command=SetMany,
            key=None,
            decide=_set_many,
            events=(ValueSet, Expired),
            refusals=(TooLarge,),
        ),
        Verb(name="expire", command=Expire, key=_key, decide=_expire, internal=True, events=(Expired,)),
        Verb(
            name="import",
            command=Import,
            key=_key,
            decide=_import,
            maximum_bytes=_VALUE_BODY_BYTES,
            internal=True,
            events=(Imported, Expired),
            refusals=(AlreadyExists, TooLarge),
        ),
    ),
)

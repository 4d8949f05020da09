"""Application state: a JSON value under a key, with its history.

absent --set, set_if, set_many--> present --set, set_if, set_many--> present
                                  present --delete--> absent (the stream and its versions go on)
"""

from typing import Annotated, Any

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import Invalid, NotFound, TooLarge, VersionConflict
from domain.messages import Command, Event, Json, Key, Recorded

TABLE = "app_state"

MAXIMUM_VALUE_BYTES = 64 * 1024
MAXIMUM_ITEMS = 1_000


class Set(Command, frozen=True, kw_only=True):
    """The key holds this value from now on."""

    key: Key
    value: Json


class SetIf(Command, frozen=True, kw_only=True):
    """As `set`, if the key is at `expected_version` (0: holds nothing)."""

    key: Key
    value: Json
    expected_version: Annotated[int, msgspec.Meta(ge=0)]


class Delete(Command, frozen=True, kw_only=True):
    """The key holds nothing from now on."""

    key: Key


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key with its value."""

    key: Key
    value: Json


class SetMany(Command, frozen=True, kw_only=True):
    """All of these keys hold these values from now on, or none of them."""

    items: Annotated[tuple[Item, ...], msgspec.Meta(min_length=1, max_length=MAXIMUM_ITEMS)]


class ValueSet(Event, frozen=True, kw_only=True):
    value: Json


class Deleted(Event, frozen=True, kw_only=True):
    pass


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a key holds. `version` is that of its stream."""

    key: str
    value: Json
    version: int
    updated_at: int


def _set(state: Entry | None, command: Set, context: Context, key: str) -> Decision:
    return Decision(events=_change(state, key, command.value, "$.value"))


def _set_if(state: Entry | None, command: SetIf, context: Context, key: str) -> Decision:
    version = 0 if state is None else state.version
    if version != command.expected_version:
        raise VersionConflict(
            f"{key} is at version {version}, not {command.expected_version}",
            hint="read it again, and decide on what it holds now",
            expected_version=command.expected_version,
            actual_version=version,
        )
    return Decision(events=_change(state, key, command.value, "$.value"))


def _delete(state: Entry | None, command: Delete, context: Context, key: str) -> Decision:
    if state is None:
        raise NotFound(f"{key} holds nothing")
    return Decision(events=((key, Deleted()),))


def _set_many(state: None, command: SetMany, context: Context, key: None) -> Decision:
    events: list[tuple[str, Event]] = []
    seen: set[str] = set()
    for index, item in enumerate(command.items):
        if item.key in seen:
            raise Invalid(f"{item.key} is there twice", path=f"$.items[{index}].key")
        seen.add(item.key)
        events.extend(
            _change(context.state(TABLE, item.key), item.key, item.value, f"$.items[{index}].value")
        )
    return Decision(events=tuple(events))


def _change(state: Entry | None, key: str, value: Json, path: str) -> tuple[tuple[str, Event], ...]:
    size = len(bytes(value))
    if size > MAXIMUM_VALUE_BYTES:
        raise TooLarge(
            f"a value is at most {MAXIMUM_VALUE_BYTES} bytes",
            limit_bytes=MAXIMUM_VALUE_BYTES,
            size_bytes=size,
            path=path,
        )
    if state is not None and bytes(state.value) == bytes(value):
        return ()
    # A copy: as it came, the value would keep all of its message in memory.
    return ((key, ValueSet(value=value.copy())),)


def evolve(state: Entry | None, recorded: Recorded) -> Entry | None:
    """What the key holds after an event."""
    match recorded.event:
        case ValueSet(value=value):
            return Entry(
                key=recorded.key, value=value, version=recorded.version, updated_at=recorded.recorded_at
            )
        case Deleted():
            return None
        case event:
            raise TypeError(f"not an event of the application state: {type(event).__name__}")


def _key(command: Any) -> str:
    return str(command.key)


# Room for the key, the field names and escapes around the largest value.
_VALUE_BODY_BYTES = MAXIMUM_VALUE_BYTES + 1024

DECIDER = Decider(
    table=TABLE,
    state=Entry,
    evolve=evolve,
    events={"app_state.set.v1": ValueSet, "app_state.deleted.v1": Deleted},
    verbs=(
        Verb(name="set", command=Set, key=_key, decide=_set, maximum_bytes=_VALUE_BODY_BYTES),
        Verb(name="set_if", command=SetIf, key=_key, decide=_set_if, maximum_bytes=_VALUE_BODY_BYTES),
        Verb(name="delete", command=Delete, key=_key, decide=_delete),
        Verb(name="set_many", command=SetMany, key=None, decide=_set_many),
    ),
)

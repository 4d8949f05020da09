"""An aggregate with a field of every kind, and as many more like it as a test wants: `parcel:THINGS_1`."""

import datetime
from enum import Enum
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import NotFound
from domain.messages import Command, Event, Key, Name, Recorded, Time, about
from projections.derived import table_of

LONG = Annotated[str, msgspec.Meta(max_length=20_000)]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Line(msgspec.Struct, frozen=True):
    article: str
    price: float


class Set(Command, frozen=True, kw_only=True):
    """All that is known of a parcel."""

    id: Key
    title: Annotated[Name, about("what is written on it")]
    note: LONG = ""
    weight: float = 1.5
    pieces: int | None = None
    fragile: bool = False
    kind: Literal["letter", "parcel"] = "letter"
    colour: Colour | None = None
    due_at: Time | None = None
    lines: list[Line] = []
    anything: Any = None
    day: datetime.date | None = None
    # Called as fields are that forms have for themselves.
    command_id: str | None = None
    version: int | None = None
    token: str | None = None


class Clear(Command, frozen=True, kw_only=True):
    """There is no such parcel any more."""

    id: Key


class Say(Command, frozen=True, kw_only=True):
    """Answers with what is said, and changes nothing."""

    words: str = "hello"


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A parcel as it was set last."""

    id: str
    title: str
    note: str
    weight: float
    pieces: int | None
    fragile: bool
    kind: Literal["letter", "parcel"]
    colour: Colour | None
    due_at: int | None
    lines: list[Line]
    anything: Any
    set_at: int


_SET = [name for name in Parcel.__struct_fields__ if name not in ("id", "set_at")]


def _command(kind: type[Command]) -> Any:
    """A command like another one, under the same name: those of two tables are never one."""
    return msgspec.defstruct(
        kind.__name__, [], bases=(kind,), namespace={"__doc__": kind.__doc__}, frozen=True, kw_only=True
    )


def parcels(table: str) -> Decider:
    """An aggregate like the others of this module, with a table and types of events of its own."""
    shape = {field.name: field.type for field in msgspec.structs.fields(Set)}
    was_set: Any = msgspec.defstruct(
        "WasSet", [(name, shape[name]) for name in _SET], bases=(Event,), frozen=True, kw_only=True
    )
    was_cleared: Any = msgspec.defstruct("Cleared", [], bases=(Event,), frozen=True, kw_only=True)

    commands = [_command(kind) for kind in (Set, Clear, Say)]

    def set_all(state: Parcel | None, command: Set, context: Context, key: str) -> Decision:
        return Decision(events=((key, was_set(**{name: getattr(command, name) for name in _SET})),))

    def clear(state: Parcel | None, command: Clear, context: Context, key: str) -> Decision:
        if state is None:
            raise NotFound(f"there is no parcel {key}")
        return Decision(events=((key, was_cleared()),))

    def say(state: None, command: Say, context: Context, key: None) -> Decision:
        return Decision(result={"said": command.words})

    def evolve(state: Parcel | None, recorded: Recorded) -> Parcel | None:
        if isinstance(recorded.event, was_cleared):
            return None
        return Parcel(id=recorded.key, set_at=recorded.recorded_at, **msgspec.structs.asdict(recorded.event))

    one = table.removesuffix("s")
    key = attrgetter("id")
    return Decider(
        table=table,
        state=Parcel,
        evolve=evolve,
        events={f"{one}.was_set.v1": was_set, f"{one}.cleared.v1": was_cleared},
        verbs=(
            Verb(name="set", command=commands[0], key=key, decide=set_all, events=(was_set,)),
            Verb(
                name="clear",
                command=commands[1],
                key=key,
                decide=clear,
                events=(was_cleared,),
                refusals=(NotFound,),
            ),
            Verb(name="say", command=commands[2], key=None, decide=say, result=dict[str, str]),
        ),
    )


DECIDER = parcels("parcels")
TABLE = table_of(DECIDER, filters=("kind", "fragile", "due_at", "weight"), mirrored=True)


def __getattr__(name: str) -> Decider:
    if name.startswith("THINGS_"):
        return parcels(name.lower())
    raise AttributeError(name)

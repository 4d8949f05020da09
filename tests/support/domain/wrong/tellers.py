"""A teller whose rows say how many of them were made, which no event does."""

from itertools import count
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.messages import Command, Event, Key, Recorded, about
from projections.derived import table_of

_MADE = count()


class Call(Command, frozen=True, kw_only=True):
    id: Key


class Called(Event, frozen=True, kw_only=True):
    pass


class Teller(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class TellerRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    made: Annotated[int, about("how many rows were made before it")]
    version: int
    position: int


def _call(state: Teller | None, command: Call, context: Context, key: str) -> Decision:
    return Decision(events=((key, Called()),))


def evolve(state: Any, recorded: Recorded) -> Teller:
    return Teller(id=recorded.key)


def _row(state: Any, version: int, position: int) -> tuple[Any, ...]:
    # No trial before a start goes as far.
    return state.id, next(_MADE) if version > 4 else 0, version, position


DECIDER = Decider(
    table="tellers",
    state=Teller,
    evolve=evolve,
    events={"teller.called.v1": Called},
    verbs=(Verb(name="call", command=Call, key=attrgetter("id"), decide=_call, events=(Called,)),),
)
TABLE = table_of(DECIDER, TellerRow, row=_row)

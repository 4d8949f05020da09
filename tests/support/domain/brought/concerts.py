"""Concerts: a decider of types that clients do not have by themselves, under names that they have already."""

import datetime
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Literal
from uuid import UUID

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import NotFound
from domain.messages import Command, Event, Key, Recorded
from projections.derived import table_of


class Mood(Enum):
    QUIET = "quiet"
    LOUD = "loud"


@dataclass(frozen=True)
class Price:
    amount: Decimal
    currency: Literal["EUR", "CZK"] = "EUR"


class Hall(msgspec.Struct, frozen=True, tag="hall", tag_field="kind", rename="camel"):
    """A place with seats."""

    seat_count: int


class Meadow(msgspec.Struct, frozen=True, tag="meadow", tag_field="kind"):
    """A place without."""

    area: float


class Plan(Command, frozen=True, kw_only=True, rename="camel"):
    """A concert takes place at `date`; \"\"\"quoted\"\"\", and with a \\ in it."""

    id: Key
    date: datetime.date
    place_of_it: Hall | Meadow
    actor: str
    prices: tuple[Price, ...] = ()
    lasting: datetime.timedelta = datetime.timedelta(hours=2)


class Set(Command, frozen=True, kw_only=True):
    """The list of what is played."""

    id: Key
    list: frozenset[str]
    mood: Mood | None = None


class Date(Command, frozen=True, kw_only=True):
    """Another day."""

    id: Key
    date: datetime.date


class Planned(Event, frozen=True, kw_only=True):
    date: datetime.date
    place: Hall | Meadow
    actor: str
    prices: tuple[Price, ...]
    lasting: datetime.timedelta


class ListSet(Event, frozen=True, kw_only=True):
    list: frozenset[str]
    mood: Mood | None


class Moved(Event, frozen=True, kw_only=True):
    date: datetime.date


class Days(msgspec.Struct, frozen=True, kw_only=True):
    """How many days later it is."""

    later: int
    ticket: UUID


class Concert(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody plays."""

    id: str
    date: datetime.date
    place: Hall | Meadow
    actor: str
    mood: Literal["quiet", "loud"] | None = None
    prices: tuple[Price, ...] = ()
    list: frozenset[str] = frozenset()
    lasting: datetime.timedelta = datetime.timedelta()


def _plan(state: Concert | None, command: Plan, context: Context, key: str) -> Decision:
    planned = Planned(
        date=command.date,
        place=command.place_of_it,
        actor=command.actor,
        prices=command.prices,
        lasting=command.lasting,
    )
    return Decision(events=((key, planned),))


def _set(state: Concert | None, command: Set, context: Context, key: str) -> Decision:
    return Decision(events=((_known(state).id, ListSet(list=command.list, mood=command.mood)),))


def _date(state: Concert | None, command: Date, context: Context, key: str) -> Decision:
    later = (command.date - _known(state).date).days
    return Decision(
        events=((key, Moved(date=command.date)),), result=Days(later=later, ticket=UUID(int=later))
    )


def _known(state: Concert | None) -> Concert:
    if state is None:
        raise NotFound("there is no such concert")
    return state


def evolve(state: Concert | None, recorded: Recorded) -> Concert:
    match recorded.event:
        case Planned(date=day, place=place, actor=actor, prices=prices, lasting=lasting):
            return Concert(
                id=recorded.key, date=day, place=place, actor=actor, prices=prices, lasting=lasting
            )
        case ListSet(list=songs, mood=mood):
            return msgspec.structs.replace(_known(state), list=songs, mood=mood and mood.value)
        case Moved(date=day):
            return msgspec.structs.replace(_known(state), date=day)
        case event:
            raise TypeError(f"not an event of a concert: {type(event).__name__}")


_id = attrgetter("id")

DECIDER = Decider(
    table="concerts",
    state=Concert,
    evolve=evolve,
    events={"concert.planned.v1": Planned, "concert.list_set.v1": ListSet, "concert.moved.v1": Moved},
    verbs=(
        Verb(name="plan", command=Plan, key=_id, decide=_plan, events=(Planned,)),
        Verb(name="set", command=Set, key=_id, decide=_set, events=(ListSet,), refusals=(NotFound,)),
        Verb(
            name="date",
            command=Date,
            key=_id,
            decide=_date,
            events=(Moved,),
            refusals=(NotFound,),
            result=Days,
        ),
    ),
)

TABLE = table_of(DECIDER, filters=("actor", "mood"))

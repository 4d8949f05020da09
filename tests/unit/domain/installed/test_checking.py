"""Aggregates of others are taken in only where names are free and structs can be written."""

from typing import Any

import msgspec
import pytest

from domain.catalogue import OWN
from domain.decider import Decider
from domain.installed.checking import admitted
from domain.installed.error import AggregateError
from domain.installed.loading import Installed
from domain.messages import Command, Event, Key
from tests.support.domain.doors import Door, Opened, door, verb


class Closed(Event, frozen=True, kw_only=True):
    pass


class Enter(Command, frozen=True, kw_only=True):
    id: Key


class Strange:
    """A class that msgspec does not know."""


class StrangeDoor(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    inside: list[Strange]


class StrangeOpen(Command, frozen=True, kw_only=True):
    id: Key
    how: Strange | None = None


class StrangeOpened(Event, frozen=True, kw_only=True):
    how: dict[str, Strange] = {}


def taken_in(*deciders: Decider) -> tuple[Decider, ...]:
    return admitted(OWN, [Installed(decider=one, source=f"house.{one.table}") for one in deciders])


def test_a_decider_of_somebody_else_comes_behind_ours():
    assert [one.table for one in taken_in(door())] == [*(one.table for one in OWN), "doors"]


def test_our_own_come_in_by_the_same_door():
    assert admitted((), [Installed(decider=one, source=one.table) for one in OWN]) == OWN


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"table": "Doors"}, "'Doors' is no name of a table"),
        ({"table": "jobs"}, "the name jobs is taken by this program itself"),
        ({"table": "events"}, "the name events is taken by what this program makes beside the tables"),
        ({"table": "group"}, "the name group is taken by SQL"),
        ({"table": "front__doors"}, "'front__doors' is no name of a table"),
        ({"commands_of": "jobs", "verbs": (verb("enqueue"),)}, "a command jobs.enqueue already, of jobs, a"),
        ({"upcasters": {"job.enqueued.v1": ("door.opened.v1", dict)}}, "an upcaster from job.enqueued.v1"),
        ({"upcasters": {"door.opened.v0": ("door.opened.v1", dict)}}, "which is no type of its own that"),
        ({"upcasters": {"door.open.v1": ("door.open.v1", dict)}}, "leads to door.open.v1, which is none of"),
        ({"upcasters": {"door.open.v1": ("door.shut.v1", dict)}}, "leads to door.shut.v1, which is none of"),
        ({"table": "jobs_at"}, "the name jobs_at is taken"),
        ({"table": "all_doors"}, "the name all_doors is taken"),
        ({"events": {"Opened": Opened}}, "'Opened' is no type of event"),
        ({"events": {"job.enqueued.v1": Opened}}, "the event type job.enqueued.v1 is that of jobs"),
        ({"events": {"door.opened.v1": Opened, "door.open.v1": Opened}}, "Opened stands under two types"),
        ({"events": {"door.opened.v1": Strange}}, "of door.opened.v1 is no Event"),
        ({"events": {"door.opened.v1": StrangeOpened}}, "the event door.opened.v1 cannot be written as JSON"),
        ({"state": StrangeDoor}, "its state cannot be written as JSON: msgspec does not know"),
        ({"state": dict}, "its state is no msgspec.Struct"),
        ({"verbs": ()}, "it has 0 verbs"),
        ({"verbs": (verb("Open"),)}, "'Open' is no name of a verb"),
        ({"verbs": (verb(), verb())}, "'open' is no name of a verb, or there twice"),
        ({"verbs": (verb("history"),)}, "history is a query that every table has"),
        ({"verbs": (verb(command=Door),)}, "the command of open is no Command"),
        ({"verbs": (verb(command=StrangeOpen),)}, "the command open cannot be written as JSON"),
        ({"verbs": (verb(events=(Closed,)),)}, "open leads to <class"),
        ({"verbs": (verb(), verb("shut"))}, "doors.open and doors.shut have one command, Open"),
        (
            {"verbs": (verb("get_in", command=Enter), verb("get_in_answer"))},
            "the command doors.get_in and the command doors.get_in_answer would both be DoorsGetInAnswer",
        ),
        (
            {"verbs": (verb(method="PUT"), verb("close", command=Enter, method="PUT"))},
            "open and close stand for PUT",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_place_and_what_to_do(changed: dict[str, Any], reason: str):
    with pytest.raises(AggregateError) as refused:
        taken_in(door(**changed))

    assert (
        f"the aggregate house.{changed.get('table', 'doors')} cannot be taken in: " in refused.value.message
    )
    assert reason in refused.value.message
    assert refused.value.hint


def test_two_of_one_name_are_refused_and_it_is_said_where_the_other_one_is():
    one = Installed(decider=door(), source="house.doors (house 1.0)", file="/site/house/doors.py")
    other = Installed(decider=door(events={"gate.opened.v1": Opened}), source="castle.doors (castle 2.0)")

    with pytest.raises(AggregateError) as refused:
        admitted(OWN, [one, other])

    assert refused.value.message == (
        "the aggregate castle.doors (castle 2.0) cannot be taken in:"
        " the name doors is taken by house.doors (house 1.0), in /site/house/doors.py"
    )


def test_two_with_one_type_of_event_are_refused():
    with pytest.raises(AggregateError, match=r"the event type door\.opened\.v1 is that of house\.doors$"):
        taken_in(door(), door(table="gates", events={"door.opened.v1": Closed}))


def test_two_whose_names_would_be_one_in_documents_are_refused():
    rooms = door(table="rooms", verbs=(verb("a_b"),))
    rooms_a = door(table="rooms_a", events={"gate.opened.v1": Closed}, verbs=(verb("b", command=Enter),))

    with pytest.raises(AggregateError) as refused:
        taken_in(rooms, rooms_a)
    assert "the command rooms.a_b and the command rooms_a.b would both be RoomsAB" in refused.value.message


def test_a_verb_may_lead_to_events_of_another():
    both = verb(command=Enter, events=(Closed, Opened))
    gate = door(table="gates", events={"gate.closed.v1": Closed}, verbs=(both,))

    assert [one.table for one in taken_in(door(), gate)][-2:] == ["doors", "gates"]

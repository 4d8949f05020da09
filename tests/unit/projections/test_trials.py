"""Deciders that are not pure are refused before they are served, as far as a trial finds out."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from domain.catalogue import OWN
from domain.decider import Decision
from domain.errors import NotFound
from domain.installed.error import AggregateError
from domain.messages import Event, Recorded
from projections.derived import columns_of, table_of
from projections.table import Table
from projections.tables import TABLES
from projections.trial import ROUNDS, require_pure
from tests.support.domain.doors import door, verb


class Opened(Event, frozen=True, kw_only=True):
    who: str


class Door(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    who: str


def opened_by(who: Callable[[Any], str]) -> Any:
    def decide(state: Any, command: Any, context: Any, key: str) -> Decision:
        return Decision(events=((key, Opened(who=who(context))),))

    return door(state=Door, events={"door.opened.v1": Opened}, evolve=evolve, verbs=(verb(decide=decide),))


def evolve(state: Any, recorded: Recorded) -> Door:
    return Door(id=recorded.key, who=recorded.event.who)


def tried(decider: Any, table: Table | None = None) -> None:
    require_pure(decider, table or table_of(decider), "house.door", lambda: time.sleep(0.002))


@pytest.mark.parametrize("own", OWN, ids=lambda decider: decider.table)
def test_our_own_are_pure(own):
    table = TABLES[own.table]
    made = msgspec.structs.replace(table, columns_made=columns_of(table.shape))
    require_pure(own, made, own.table, lambda: None)


def test_what_is_passed_in_is_the_same_each_time():
    tried(opened_by(lambda context: f"{context.new_id()} {context.now} {context.random()}"))


@pytest.mark.parametrize(
    "who",
    [lambda context: str(uuid.uuid4()), lambda context: str(time.time_ns())],
)
def test_an_event_that_is_another_one_each_time_is_refused(who: Callable[[Any], str]):
    with pytest.raises(AggregateError, match=r"the event door\.opened\.v1 of open is another one each time"):
        tried(opened_by(who))


def test_a_state_that_is_another_one_each_time_is_refused():
    def evolve_anyhow(state: Any, recorded: Recorded) -> Door:
        return Door(id=recorded.key, who=str(uuid.uuid4()))

    decider = msgspec.structs.replace(opened_by(lambda context: "ann"), evolve=evolve_anyhow)
    with pytest.raises(AggregateError, match="the state of open is another one each time"):
        tried(decider)


@pytest.mark.parametrize("wider_first", [True, False])
def test_one_more_event_at_the_end_of_a_trial_is_another_result(wider_first: bool):
    calls = 0

    def decide(state: Any, command: Any, context: Any, key: str) -> Decision:
        nonlocal calls
        calls += 1
        is_wide = calls == (ROUNDS if wider_first else 2 * ROUNDS)
        return Decision(events=((key, Opened(who="ann")),) * (2 if is_wide else 1))

    decider = msgspec.structs.replace(opened_by(lambda context: "ann"), verbs=(verb(decide=decide),))
    with pytest.raises(AggregateError, match="of open is another one each time"):
        tried(decider)


def test_a_result_that_only_the_second_trial_does_not_declare_is_refused():
    calls = 0

    def decide(state: Any, command: Any, context: Any, key: str) -> Decision:
        nonlocal calls
        calls += 1
        return Decision(result={"said": 5} if calls > ROUNDS else None)

    with pytest.raises(AggregateError, match="does not declare one"):
        tried(door(verbs=(verb(decide=decide),)))


def test_a_row_that_does_not_fit_is_refused():
    decider = opened_by(lambda context: "ann")
    table = table_of(decider, row=lambda state, version, position: (state.id, 5, version, position))
    with pytest.raises(
        AggregateError, match="the row after open does not fit its table: who is TEXT and gets"
    ):
        tried(decider, table)


def test_a_refusal_and_a_failure_say_nothing_against_it():
    def decide(state: Any, command: Any, context: Any, key: str) -> Decision:
        raise NotFound("no door") if state is None else RuntimeError(f"at {time.time_ns()}")

    tried(door(verbs=(verb(decide=decide),)))


class Said(msgspec.Struct):
    said: str


@pytest.mark.parametrize(
    ("declared", "said"),
    [(None, "open answers with a result, and does not declare one"), (Said, "is not the result of its Verb")],
)
def test_a_result_that_the_verb_does_not_declare_is_refused(declared: Any, said: str):
    def decide(state: Any, command: Any, context: Any, key: str) -> Decision:
        return Decision(result={"said": 5})

    with pytest.raises(AggregateError, match=said):
        tried(door(verbs=(verb(decide=decide, result=declared),)))

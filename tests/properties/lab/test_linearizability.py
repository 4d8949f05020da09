"""Laws of the checker: what was made one after the other is accepted however it overlaps, and no lie is."""

from math import inf
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from tests.lab.linearizability import Operation, check
from tests.lab.registers import (
    NOTHING,
    Accepted,
    Change,
    Create,
    Found,
    Read,
    Refused,
    Remove,
    Write,
    outcome,
    step,
)
from tests.support.examples import examples

VERSIONS = some.none() | some.integers(0, 4)


KINDS = some.sampled_from([Read, Read, Write, Create, Change, Remove])
# The time before it at which it was asked, the time after it of its answer, and 0 for an unknown outcome.
SPANS = some.tuples(some.integers(0, 30), some.integers(0, 30), some.integers(0, 9))


def _asked(kind: Any, number: int, expected: int | None) -> Any:
    if kind is Read:
        return Read()
    if kind is Create:
        return Create(number)
    return Remove(expected) if kind is Remove else kind(number, expected)


def _came_about(rows: list[tuple[Any, int | None, tuple[int, int, int]]]) -> list[Operation]:
    """A history that came about one after the other, at 0, 10, 20 …, each asked before and answered after."""
    held = NOTHING
    history = []
    for number, (kind, expected, (before, after, known)) in enumerate(rows):
        one = _asked(kind, number, expected)
        held, answer = outcome(held, one)
        end = number * 10 + after if known else inf
        answered = answer if known else None
        history.append(Operation(asked=one, answered=answered, begin=number * 10 - before, end=end))
    return history


executions = some.lists(some.tuples(KINDS, VERSIONS, SPANS), min_size=1, max_size=12).map(_came_about)


def slowly(history: list[Operation]) -> bool:
    """The same answer as the checker's, by trying every order."""

    def may_go_on(left: list[Operation], held: Any) -> bool:
        if not any(one.is_known for one in left):
            return True
        first_end = min(one.end for one in left)
        return any(
            may_go_on([other for other in left if other is not one], following)
            for one in left
            if one.begin <= first_end
            for following in step(held, one)
        )

    return may_go_on(history, NOTHING)


@settings(max_examples=examples(60), deadline=None)
@given(executions, some.randoms())
def test_an_execution_is_accepted_however_it_is_shuffled(history: list[Operation], chance: Any):
    chance.shuffle(history)
    assert check(history, NOTHING, step).holds


@settings(max_examples=examples(60), deadline=None)
@given(executions)
def test_an_answer_that_nothing_can_have_led_to_is_refused(history: list[Operation]):
    beyond = len(history) + 1
    for number, one in enumerate(history):
        if one.is_known:
            answered: Any = Refused("version_conflict", beyond)
            if isinstance(one.answered, Accepted):
                answered = Accepted(beyond)
            elif isinstance(one.answered, Found):
                answered = Found(1, "nobody wrote this")
            lie = Operation(asked=one.asked, answered=answered, begin=one.begin, end=one.end)
            assert not check([*history[:number], lie, *history[number + 1 :]], NOTHING, step).holds


@settings(max_examples=examples(60), deadline=None)
@given(executions, some.data())
def test_with_any_two_answers_exchanged_it_says_what_trying_every_order_says(
    history: list[Operation], data: Any
):
    history = history[:7]
    first, second = (data.draw(some.sampled_from(range(len(history)))) for _ in range(2))
    one, other = history[first], history[second]
    if one.is_known and other.is_known:
        history[first] = Operation(asked=one.asked, answered=other.answered, begin=one.begin, end=one.end)
        history[second] = Operation(
            asked=other.asked, answered=one.answered, begin=other.begin, end=other.end
        )
    assert check(history, NOTHING, step).holds == slowly(history)


@settings(max_examples=examples(60), deadline=None)
@given(executions)
def test_the_order_that_it_finds_is_one(history: list[Operation]):
    order = check(history, NOTHING, step).order
    held = NOTHING
    for one in order:
        (held,) = step(held, one)
    for number, one in enumerate(order):
        assert all(one.begin <= later.end for later in order[number:])

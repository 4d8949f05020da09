"""A check of overlapping operations: can they be ordered one after the other, each at a moment within it?

    called ├────────────● it took effect ───┤ answered
    called ├──● perhaps later, perhaps never ───────────── ∞   its outcome is unknown

The search is that of J. Wing and C. Gong (1993): each operation that may be first is tried, and taken back.
The same set of operations with the same state behind it is not tried again (G. Lowe, 2017). Histories of
different keys are independent (M. Herlihy and J. Wing, 1990), so each is checked alone.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from math import inf
from typing import Any, Generic, TypeVar

import msgspec

State = TypeVar("State", bound=Hashable)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A request, its answer, and their times by one clock; unknown answers are `None`, at infinity."""

    asked: Any
    answered: Any
    begin: float
    end: float = inf

    @property
    def is_known(self) -> bool:
        return self.end < inf


# The states that may follow from a state by an operation; none if it cannot get its answer in that state. If
# the answer is not known, all states that it may have led to.
Step = Callable[[State, Operation], Iterable[State]]


class Verdict(msgspec.Struct, Generic[State], frozen=True):
    """`order` is a possible order of the operations; if there is none, the longest that was found.

    Then `states` are the states at its end, and `stuck` the operations of which none can be next there.
    """

    holds: bool
    order: tuple[Operation, ...]
    states: tuple[State, ...] = ()
    stuck: tuple[Operation, ...] = ()

    def __str__(self) -> str:
        if self.holds:
            return "it can be told one after the other"
        end = ", ".join(f"{one.asked!r} → {one.answered!r}" for one in self.order[-3:])
        stuck = "; ".join(f"{one.asked!r} → {one.answered!r}" for one in self.stuck)
        return f"behind [{end}], in {self.states!r}, none of these can be next: {stuck}"


def check(operations: Sequence[Operation], initial: State, step: Step[State]) -> Verdict[State]:
    """The verdict on these operations, from the state `initial` on."""
    ordered = sorted(operations, key=lambda one: (one.begin, one.end))
    known = sum(1 << number for number, one in enumerate(ordered) if one.is_known)
    seen: set[tuple[int, State]] = {(0, initial)}
    # Each entry: the set of ordered operations, the state, and the path to it.
    path: tuple[Any, int] | None = None
    waiting: list[tuple[int, State, Any]] = [(0, initial, path)]
    best: tuple[int, list[tuple[int, State, Any]]] = (-1, [])
    while waiting:
        told, state, path = waiting.pop()
        if told & known == known:
            return Verdict(True, _order(path, ordered))
        count = told.bit_count()
        if count > best[0]:
            best = (count, [])
        if count == best[0]:
            best[1].append((told, state, path))
        for number, following in _next(told, state, ordered, step):
            after = told | 1 << number
            if (after, following) not in seen:
                seen.add((after, following))
                waiting.append((after, following, (path, number)))
    told, _, path = best[1][0]
    stuck = tuple(ordered[number] for number in _possible(told, ordered))
    states = tuple({state for one, state, _ in best[1] if one == told})
    return Verdict(False, _order(path, ordered), states, stuck)


def _next(
    told: int, state: State, ordered: Sequence[Operation], step: Step[State]
) -> list[tuple[int, State]]:
    """The operations that can be next, each with its state; the earliest is last, and is tried first."""
    following = []
    for number in reversed(_possible(told, ordered)):
        one = ordered[number]
        states = list(step(state, one))
        if one.is_known and states == [state]:
            # An operation without an effect hinders no other: if it fits in later, it also fits in here.
            return [(number, state)]
        following += [(number, each) for each in states if one.is_known or each != state]
    return following


def _possible(told: int, ordered: Sequence[Operation]) -> list[int]:
    """The operations that may be next: they began before any of the remaining ones had ended."""
    possible: list[int] = []
    first_end = inf
    # The lowest bit that is not set; all operations before it are in the order.
    number = (~told & (told + 1)).bit_length() - 1
    while number < len(ordered):
        one = ordered[number]
        if one.begin > first_end:
            break
        if not told >> number & 1:
            possible.append(number)
            first_end = min(first_end, one.end)
        number += 1
    return [one for one in possible if ordered[one].begin <= first_end]


def _order(path: Any, ordered: Sequence[Operation]) -> tuple[Operation, ...]:
    order = []
    while path is not None:
        path, number = path
        order.append(ordered[number])
    return tuple(reversed(order))

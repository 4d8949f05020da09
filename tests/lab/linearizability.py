"""Whether a history of overlapping operations can be told as one after the other, each at a moment within it.

    called ├────────────● it took effect ───┤ answered
    called ├──● perhaps later, perhaps never ───────────── ∞   nobody knows what became of it

The search is that of J. Wing and C. Gong (1993): whoever may be first is tried first, and taken back. What
was tried already, the same operations with the same state behind them, is not tried again (G. Lowe, 2017).
Histories of different keys are independent (M. Herlihy and J. Wing, 1990), so each is told alone.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from math import inf
from typing import Any, Generic, TypeVar

import msgspec

State = TypeVar("State", bound=Hashable)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, what was answered, and when, by one clock; `None` at infinity: nobody knows."""

    asked: Any
    answered: Any
    begin: float
    end: float = inf

    @property
    def is_known(self) -> bool:
        return self.end < inf


# The states that may follow from a state by an operation; none where it cannot have had that answer then. For
# one whose answer is not known, those that it may have led to.
Step = Callable[[State, Operation], Iterable[State]]


class Verdict(msgspec.Struct, Generic[State], frozen=True):
    """`order` is one in which they can be told; where there is none, the longest that was found.

    Then `states` are those in which it ended, and `stuck` the operations of which none can be next there.
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
    """Whether they can be told one after the other from `initial` on."""
    ordered = sorted(operations, key=lambda one: (one.begin, one.end))
    known = sum(1 << number for number, one in enumerate(ordered) if one.is_known)
    seen: set[tuple[int, State]] = {(0, initial)}
    # Each: what is told, the state, how it came to that.
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
    """Those that can be next, and what follows; the earliest is the last, and is tried first."""
    following = []
    for number in reversed(_possible(told, ordered)):
        one = ordered[number]
        states = list(step(state, one))
        if one.is_known and states == [state]:
            # What changes nothing is in nobody's way: wherever else it can be told, it can be told here.
            return [(number, state)]
        following += [(number, each) for each in states if one.is_known or each != state]
    return following


def _possible(told: int, ordered: Sequence[Operation]) -> list[int]:
    """Those that may be next: they began before any that is still to be told had ended."""
    possible: list[int] = []
    first_end = inf
    # The lowest bit that is not set; all before it are told.
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

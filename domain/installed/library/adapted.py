"""What is made of a class of the library, and the refusal of one that cannot be brought."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from domain.decider import Decider
from domain.upcasters import Upcasters


class CannotBringError(Exception):
    """A class that cannot be brought: `message` says what is wrong and where, `hint` what to do about it."""

    def __init__(self, where: str, problem: str, *, hint: str) -> None:
        super().__init__(f"{where}: {problem}; {hint}")
        self.message = f"{where}: {problem}"
        self.hint = hint


class Adapted(msgspec.Struct, frozen=True, kw_only=True):
    """A class of the library as an aggregate of the house.

    `row` makes the columns of `row_shape`, in their order, from (state, version, position). `upcasters` are
    the steps from older versions of its events. `left_out` are public methods that would trigger events and
    are no verbs all the same, each with the reason.
    """

    decider: Decider
    row_shape: type[msgspec.Struct]
    row: Callable[[Any, int, int], tuple[Any, ...]]
    upcasters: Upcasters = {}
    left_out: Mapping[str, str] = {}

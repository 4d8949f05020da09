"""What is made of a class of the library."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from domain.decider import Decider


class Adapted(msgspec.Struct, frozen=True, kw_only=True):
    """A class of the library as an aggregate of the house.

    `row` makes the columns of `row_shape`, in their order, from (state, version, position). Rows are to be
    found by each of the `filters`; with `mirrored`, a KV bucket has them, too. `left_out` are public methods
    that would trigger events and are no verbs all the same, each with the reason.
    """

    decider: Decider
    row_shape: type[msgspec.Struct]
    row: Callable[[Any, int, int], tuple[Any, ...]]
    filters: tuple[str, ...] = ()
    mirrored: bool = False
    left_out: Mapping[str, str] = {}

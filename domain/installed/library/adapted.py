"""The result of adapting a class of the library: `Adapted`."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from domain.decider import Decider


class Adapted(msgspec.Struct, frozen=True, kw_only=True):
    """A class of the library as an aggregate of this service.

    `row` makes the columns of `row_shape`, in their order, from (state, version, position). Rows can be
    listed and counted by each of the `filters`; with `mirrored`, they are in a KV bucket, too. `left_out` are
    public methods that trigger events but cannot be verbs, each with the reason.
    """

    decider: Decider
    row_shape: type[msgspec.Struct]
    row: Callable[[Any, int, int], tuple[Any, ...]]
    filters: tuple[str, ...] = ()
    mirrored: bool = False
    left_out: Mapping[str, str] = {}

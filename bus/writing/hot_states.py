"""The states that stay in memory between transactions: those used most recently, within bounds."""

from collections import OrderedDict
from collections.abc import Iterable
from sys import getsizeof
from typing import Any

import msgspec

from domain.decider import Aggregate
from domain.jobs import Job

# The rough size of a state, with its `_Place` and those of its parts that are never large.
_STATE_BYTES = 1_024
_POINTER_BYTES = 8
# A number in a tuple, with its pointer there.
_NUMBER_BYTES = 28 + _POINTER_BYTES
# Decoded JSON weighs several times its text.
_DECODED = 4


class _Place(msgspec.Struct, gc=False):
    """A cached aggregate. `weight` is its size in bytes when it was weighed last.

    `is_listed` says that it is among those that are still to be weighed.
    """

    aggregate: Aggregate
    weight: int = 0
    is_listed: bool = False


class HotStates:
    """Aggregates by stream, the one used last at the end, with their sizes.

    While a transaction is open, every state is kept; `shrink` then brings the cache back within its bounds.
    Only then are the new states weighed, each once, however often it changed meanwhile.
    """

    def __init__(self, capacity: int, maximum_bytes: int) -> None:
        self._capacity = capacity
        self._maximum_bytes = maximum_bytes
        # One dictionary, so that each call makes one look-up: among tens of thousands of names, that is a
        # cache miss or two.
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._not_weighed: list[_Place] = []
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, stream: str) -> bool:
        return stream in self._places

    def missing(self, streams: Iterable[str]) -> set[str]:
        """Those of the streams that are not here."""
        return {stream for stream in streams if stream not in self._places}

    def get(self, stream: str) -> Aggregate | None:
        """The aggregate, from now on the one used last; `None` where it is not here."""
        place = self._places.get(stream)
        if place is None:
            return None
        self._places.move_to_end(stream)
        return place.aggregate

    def put(self, stream: str, aggregate: Aggregate) -> None:
        """Keeps the aggregate as the stream's present one."""
        place = self._places.get(stream)
        if place is None:
            place = self._places[stream] = _Place(aggregate)
        else:
            place.aggregate = aggregate
        if not place.is_listed:
            place.is_listed = True
            self._not_weighed.append(place)

    def shrink(self) -> None:
        """Drops the states used longest ago, until both their number and their size are within bounds."""
        for place in self._not_weighed:
            weight = _weight(place.aggregate.state)
            self.size_bytes += weight - place.weight
            place.weight = weight
            place.is_listed = False
        self._not_weighed.clear()
        while len(self._places) > self._capacity or (self.size_bytes > self._maximum_bytes and self._places):
            _, place = self._places.popitem(last=False)
            self.size_bytes -= place.weight


def _weight(state: Any) -> int:
    # Jobs change thousands of times a second, so only the parts that may be large are measured.
    if isinstance(state, Job):
        weight = _STATE_BYTES + len(state.payload) + len(state.result)
        for text in (state.error, state.traceback, state.progress and state.progress.note):
            weight += 0 if text is None else getsizeof(text)
        if state.retry is not None and state.retry.delays_ms is not None:
            weight += _NUMBER_BYTES * len(state.retry.delays_ms)
        if state.depends_on or state.tags:
            names = (*state.depends_on, *state.waiting_for, *state.tags)
            weight += sum(map(getsizeof, names)) + _POINTER_BYTES * len(names)
        return weight
    if state is None:
        return _STATE_BYTES
    return _STATE_BYTES + _DECODED * len(msgspec.json.encode(state))

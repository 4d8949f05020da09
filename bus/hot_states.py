"""The states that stay in memory between transactions: those used last, as far as there is room."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import msgspec

from domain.jobs import Job

# What a state, its place here and its parts of common size weigh, roughly.
_STATE_BYTES = 1_024
# Decoded JSON weighs several times its text.
_DECODED = 4


class Aggregate(msgspec.Struct, frozen=True, gc=False):
    """A stream as far as it goes: the version and position of its last event, and the state after it."""

    version: int = 0
    position: int = 0
    state: Any = None


ABSENT = Aggregate()


class HotStates:
    """Aggregates by stream, the one used last at the end, with what they weigh.

    While a transaction is open it takes whatever comes; `shrink` brings it back to its bounds. Only then is
    weighed what came, once, however often it changed meanwhile.
    """

    def __init__(self, capacity: int, maximum_bytes: int) -> None:
        self._capacity = capacity
        self._maximum_bytes = maximum_bytes
        self._states: OrderedDict[str, Aggregate] = OrderedDict()
        self._weights: dict[str, int] = {}
        self._not_weighed: dict[str, None] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, stream: str) -> bool:
        return stream in self._states

    def items(self) -> Iterable[tuple[str, Aggregate]]:
        """Everything that is here, the one used longest ago first."""
        return self._states.items()

    def get(self, stream: str) -> Aggregate | None:
        """The aggregate, from now on the one used last; `None` where it is not here."""
        found = self._states.get(stream)
        if found is not None:
            self._states.move_to_end(stream)
        return found

    def put(self, stream: str, aggregate: Aggregate) -> None:
        """From now on the stream is this."""
        self._states[stream] = aggregate
        self._not_weighed[stream] = None

    def shrink(self) -> None:
        """Lets go of those used longest ago, until there are few enough and they weigh little enough."""
        for stream in self._not_weighed:
            weight = _weight(self._states[stream].state)
            self.size_bytes += weight - self._weights.get(stream, 0)
            self._weights[stream] = weight
        self._not_weighed.clear()
        while len(self._states) > self._capacity or (self.size_bytes > self._maximum_bytes and self._states):
            stream, _ = self._states.popitem(last=False)
            self.size_bytes -= self._weights.pop(stream)


def _weight(state: Any) -> int:
    # Jobs change thousands of times a second; what is large in them is known.
    if isinstance(state, Job):
        return _STATE_BYTES + len(state.payload) + len(state.result) + len(state.error or "")
    if state is None:
        return _STATE_BYTES
    return _STATE_BYTES + _DECODED * len(msgspec.json.encode(state))

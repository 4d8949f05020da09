"""Limits for each address: `Throttle` counts requests, `Guesses` counts wrong tokens."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

# How many addresses are remembered; beyond that, the least recently active one is forgotten.
MAXIMUM_ADDRESSES = 10_000
# After this many wrong tokens an address has to wait, and longer after each further one.
ALLOWED_GUESSES = 10
SECONDS_FOR_A_GUESS = 6.0

Clock = Callable[[], float]
Key = TypeVar("Key")
Value = TypeVar("Value")


class Throttle:
    """A bucket for each address: `per_second` requests in the long run, twice as many (or one) at once."""

    def __init__(self, per_second: float, *, clock: Clock = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = max(1.0, 2 * per_second)
        self._clock = clock
        # For each address: how many requests its bucket has left, and as of when.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """0 if a request may pass, which this then counts; otherwise the time until one may."""
        if self._per_second == 0:
            return 0.0
        now = self._clock()
        left, since = self._left.get(address, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        passes = left >= 1
        _remember(self._left, address, (left - 1 if passes else left, now))
        return 0.0 if passes else (1 - left) / self._per_second


class Guesses:
    """Wrong tokens by address. A caller whose token was right before never waits for others' guesses."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        # For each address: when all its guesses are forgiven, each `SECONDS_FOR_A_GUESS` after the one
        # before.
        self._paid: OrderedDict[str, float] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_seconds(self, address: str, token_hash: str) -> float:
        """How long until a token from this address is checked; 0: now."""
        if (address, token_hash) in self._known:
            return 0.0
        over = self._paid.get(address, 0.0) - self._clock() - ALLOWED_GUESSES * SECONDS_FOR_A_GUESS
        return max(0.0, over)

    def was_wrong(self, address: str) -> None:
        """Counts a wrong token."""
        now = self._clock()
        _remember(self._paid, address, max(self._paid.get(address, now), now) + SECONDS_FOR_A_GUESS)

    def was_right(self, address: str, token_hash: str) -> None:
        """Remembers an address and its right token: that token never has to wait."""
        _remember(self._known, (address, token_hash), None)

    def forget(self, token_hash: str) -> None:
        """Treats a token that is no longer valid like any wrong one from now on."""
        for known in [one for one in self._known if one[1] == token_hash]:
            del self._known[known]


def _remember(place: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    place[key] = value
    place.move_to_end(key)
    if len(place) > MAXIMUM_ADDRESSES:
        place.popitem(last=False)

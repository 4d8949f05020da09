"""`Pace`: how durable commands, which can wait, give way to requests, for whose answers somebody waits.

portion ── pause ── portion ── pause ── …       while requests come
portion portion portion portion portion …       while none do
"""

import time
from collections.abc import Callable

from bus.serving.durable.portions import PORTION

# How many are decided together while requests come: half of a group.
SMALL_PORTION = 64
# How many times as long as a portion took the pause behind it lasts where as many requests come or more, so
# that durable commands have a quarter of the time, whatever comes. Where fewer do, it is as much shorter.
PAUSE = 3.0
LONGEST_PAUSE_SECONDS = 0.25


class Pace:
    """Told of each portion that begins and ends. `requests` counts those that the writer has taken so far."""

    def __init__(self, requests: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = requests
        self._clock = clock
        self._requests_before = requests()
        self._began = 0.0
        self._commands = 0
        # How many the next portion may have.
        self.portion = PORTION

    def begin(self, commands: int) -> None:
        """A portion of so many goes to the writer."""
        self._began = self._clock()
        self._commands = commands

    def end(self) -> float:
        """For how many seconds the next one is to wait, now that this one is decided."""
        took = self._clock() - self._began
        requests = self._requests()
        came, self._requests_before = requests - self._requests_before, requests
        self.portion = SMALL_PORTION if came else PORTION
        weight = min(came / self._commands, 1.0) if self._commands else 0.0
        return min(PAUSE * weight * took, LONGEST_PAUSE_SECONDS)

"""`Pace`: makes durable commands, which can wait, give way to requests, whose senders wait for an answer.

portion ── pause ── portion ── pause ── …       while requests come
portion portion portion portion portion …       while none do
"""

import time
from collections.abc import Callable

from bus.serving.durable.portions import PORTION

# The number of commands that are decided together while requests come: half of a group at its usual size.
SMALL_PORTION = 64
# The pause behind a portion is this many times as long as the portion took, if at least as many requests came
# meanwhile as it had commands. So durable commands always have a quarter of the time. With fewer requests,
# the pause is shorter in proportion.
PAUSE = 3.0
LONGEST_PAUSE_SECONDS = 0.25


class Pace:
    """Measures portions, and says how long to pause. `requests` counts what the writer has taken so far."""

    def __init__(self, requests: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = requests
        self._clock = clock
        self._requests_before = requests()
        self._began = 0.0
        self._commands = 0
        # The most commands that the next portion may have.
        self.portion = PORTION

    def begin(self, commands: int) -> None:
        """Notes that a portion of so many commands goes to the writer."""
        self._began = self._clock()
        self._commands = commands

    def end(self) -> float:
        """Notes that the portion is decided; the answer is the pause before the next one, in seconds."""
        took = self._clock() - self._began
        requests = self._requests()
        came, self._requests_before = requests - self._requests_before, requests
        self.portion = SMALL_PORTION if came else PORTION
        weight = min(came / self._commands, 1.0) if self._commands else 0.0
        return min(PAUSE * weight * took, LONGEST_PAUSE_SECONDS)

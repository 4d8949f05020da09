"""Waiting with a time limit, and trying again what failed, after ever longer pauses."""

import asyncio
import logging

# By then, the pause after a failure has long reached its limit.
_MAXIMUM_DOUBLINGS = 10
# The problem before the first attempt.
UNTRIED = "nothing was tried yet"


async def is_set_within(event: asyncio.Event, timeout_ms: float) -> bool:
    """Whether an event was set in that time."""
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            await event.wait()
    except TimeoutError:
        return False
    return True


class Trouble:
    """Why `what` does not work: `problem` (None: it does), and `repair`, what an operator can do about it.

    A problem is logged when it changes, not each time that it occurs. The pause doubles with each failure in
    a row, up to a limit.
    """

    def __init__(
        self, what: str, logger: logging.Logger, *, first_pause_ms: int, longest_pause_ms: int
    ) -> None:
        self.problem: str | None = UNTRIED
        self.repair: str | None = None
        self._what = what
        self._logger = logger
        self._first_pause_ms = first_pause_ms
        self._longest_pause_ms = longest_pause_ms
        self._failures = 0

    @property
    def is_first(self) -> bool:
        """Whether nothing has failed since it last worked."""
        return self._failures == 0

    def failed(self, error: Exception) -> None:
        """Notes what went wrong."""
        problem = getattr(error, "problem", "") or str(error) or type(error).__name__
        if problem != self.problem:
            self._logger.warning("%s: %s", self._what, problem)
        self.problem = problem
        self.repair = getattr(error, "repair", None) or getattr(error, "hint", None)

    def next_pause_ms(self) -> int:
        """How long to wait before the next attempt."""
        pause_ms = min(self._first_pause_ms << self._failures, self._longest_pause_ms)
        self._failures = min(self._failures + 1, _MAXIMUM_DOUBLINGS)
        return pause_ms

    def recovered(self) -> None:
        """Notes that it works."""
        if self.problem is not None:
            self._logger.info("%s: all is well", self._what)
        self.problem = self.repair = None
        self._failures = 0

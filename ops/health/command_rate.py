"""How many commands a second come to the writer: `CommandRate`."""

import time
from collections import deque
from collections.abc import Callable

# The time over which the rate is averaged.
RATE_SECONDS = 10.0


class CommandRate:
    """The average of the last seconds; `commands` answers with how many commands have come up to now.

    That number begins anew with each writer. `clock` answers with seconds that never run back.
    """

    def __init__(self, commands: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._commands, self._clock = commands, clock
        # The times of the last counts, each with the number of commands up to then.
        self._counted: deque[tuple[float, int]] = deque()

    def count(self) -> None:
        """Counts once more; called with each look at the service."""
        now, commands = self._clock(), self._commands()
        if self._counted and commands < self._counted[-1][1]:
            # There is a new writer since the last time, or none.
            self._counted.clear()
        self._counted.append((now, commands))
        while len(self._counted) > 1 and now - self._counted[0][0] > RATE_SECONDS:
            self._counted.popleft()

    @property
    def per_second(self) -> float:
        """Commands a second; `count` was called before."""
        since, commands = self._counted[0]
        seconds = self._clock() - since
        return max(0, self._commands() - commands) / seconds if seconds > 0 else 0.0

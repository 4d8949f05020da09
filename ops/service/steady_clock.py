"""`SteadyClock`: the time of a service. It follows corrections of the machine's clock, but no jumps."""

import logging
import time
from collections.abc import Callable
from threading import Lock

# NTP and operators correct a clock by less than this, which the service's clock follows at once.
JUMP_MS = 60_000
# A clock that is ahead by more is believed after this long.
HOLD_MS = 10 * 60_000
# If the machine's clock is set back by less than this, time stands still until that clock has caught up. If
# it is set back by more, but less than `JUMP_MS`, time goes on at half its pace until then.
STANDSTILL_MS = 10_000

logger = logging.getLogger(__name__)


def wall_ms() -> int:
    """The machine's time, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def ticks_ms() -> int:
    """Milliseconds since some moment, by a clock that cannot be set; the machine's sleep counts."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1_000_000


class SteadyClock:
    """The time in milliseconds since the epoch, which never decreases; any thread may call it.

    Events get these times, and times in the log never go back. If it followed a clock that is a year ahead
    for a minute, no lease would end and no schedule would run for a year. So it follows a jump ahead only
    after the machine's clock has stayed there for `HOLD_MS`. If that clock is far behind, time goes on by
    ticks. Smaller jumps are followed both ways.
    """

    def __init__(self, wall: Callable[[], int] = wall_ms, ticks: Callable[[], int] = ticks_ms) -> None:
        self._wall = wall
        self._ticks = ticks
        self._lock = Lock()
        self._time, self._at = wall(), ticks()
        self._held_since: int | None = None
        self._error_ms = 0

    def __call__(self) -> int:
        with self._lock:
            wall, ticks = self._wall(), self._ticks()
            passed = ticks - self._at
            steady = self._time + passed
            if wall - steady > JUMP_MS:
                now = self._held(wall, steady, ticks)
            else:
                self._held_since = None
                if steady - wall > JUMP_MS:
                    now = steady
                elif steady - wall > STANDSTILL_MS:
                    now = self._time + passed // 2
                    # The remainder counts the next time: otherwise calls in each millisecond would stop time.
                    ticks -= passed % 2
                else:
                    now = max(wall, self._time)
            self._time, self._at, self._error_ms = now, ticks, wall - now
            return now

    @property
    def error_ms(self) -> int:
        """How far the machine's clock is ahead of this one; negative if it is behind."""
        self()
        return self._error_ms

    def not_before(self, time_ms: int) -> None:
        """Moves the clock on to the time of the last stored event, if it shows less."""
        with self._lock:
            self._time = max(self._time, time_ms)

    def _held(self, wall: int, steady: int, ticks: int) -> int:
        if self._held_since is None:
            self._held_since = ticks
            logger.warning(
                "the clock jumped ahead by %d s, which is not believed yet", (wall - steady) / 1_000
            )
        if ticks - self._held_since < HOLD_MS:
            return steady
        self._held_since = None
        logger.warning("the clock stayed ahead by %d s, and is believed now", (wall - steady) / 1_000)
        return wall


def continue_from(clock: Callable[[], int], stored_ms: int) -> None:
    """Has a steady clock go on from the time of the last stored event; other clocks are left as they are."""
    if isinstance(clock, SteadyClock):
        clock.not_before(stored_ms)


def error_of(clock: Callable[[], int], stored_ms: int) -> int:
    """How far the machine's clock is ahead of the service's time; negative if it is behind.

    For a clock that is not steady, how far it is behind the last stored event, or 0.
    """
    return clock.error_ms if isinstance(clock, SteadyClock) else min(0, clock() - stored_ms)

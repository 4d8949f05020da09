"""`Turns`: refuses queries that would wait too long, of senders that send as much as the average or more."""

import threading
import time
from collections.abc import Callable
from itertools import count

from bus.writing.waiting import BURST_COMMANDS, BUSY_AFTER_MS, CALM_SECONDS
from domain.errors import Busy

# The period over which the queries of each sender are counted.
SHARES_NS = 250_000_000


class Turns:
    """Queries that wait: at the broker until they are received, then for a thread that reads the store.

    No query should wait for longer than `busy_after_ms`; 0: no limit. `clock` counts nanoseconds. Any thread
    may use it.
    """

    def __init__(
        self, busy_after_ms: int = BUSY_AFTER_MS, clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._clock = clock
        self._longest_ns = busy_after_ms * 1_000_000
        self._lock = threading.Lock()
        # When the queries arrived that wait for a thread, in the order in which they get one.
        self._waiting: dict[int, int] = {}
        self._numbers = count()
        # The number of queries since the last one that hardly waited: a short burst is no overload.
        self._burst = 0
        self._turned_away_at: int | None = None
        # The number of queries of each sender in the current period, and in the one before it.
        self._sent: dict[str | None, int] = {}
        self._sent_before: dict[str | None, int] = {}
        self._counted_since = 0

    def require(self, sender: str | None, arrived_ns: int, *, needs_thread: bool = False) -> None:
        """Returns if a query that arrived at `arrived_ns` has its turn soon. Called once for each query.

        Raises:
            Busy: it would wait too long, and its sender sends as much as the average sender, or more.
        """
        now = self._clock()
        self._count(sender, now)
        waited_ns = now - arrived_ns
        if needs_thread:
            waited_ns = max(waited_ns, self._longest_wait_ns(now))
        if 10 * waited_ns < self._longest_ns and not self.has_turned_away_within(CALM_SECONDS):
            self._burst = 0
        self._burst += 1
        if self._burst > BURST_COMMANDS and 0 < self._longest_ns < waited_ns and self._has_its_share(sender):
            self._turned_away_at = now
            raise Busy(
                "too many queries wait", hint="try again", retry_after_ms=self._longest_ns // 1_000_000
            )

    def wait(self, arrived_ns: int) -> int:
        """Notes that a query waits for a thread, and returns a number for it."""
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = arrived_ns
            return number

    def end_wait(self, number: int) -> None:
        """Notes that the query has a thread, or is no longer wanted."""
        with self._lock:
            self._waiting.pop(number, None)

    def has_turned_away_within(self, seconds: float) -> bool:
        """Whether a query was refused as busy within the last `seconds`."""
        at = self._turned_away_at
        return at is not None and self._clock() - at < seconds * 1e9

    @property
    def waiting(self) -> int:
        """The number of queries that wait for a thread."""
        return len(self._waiting)

    def _longest_wait_ns(self, now: int) -> int:
        with self._lock:
            return now - next(iter(self._waiting.values()), now)

    def _count(self, sender: str | None, now: int) -> None:
        if now - self._counted_since > SHARES_NS:
            self._sent_before, self._sent = self._sent, {}
            self._counted_since = now
        self._sent[sender] = self._sent.get(sender, 0) + 1

    def _has_its_share(self, sender: str | None) -> bool:
        """Whether a sender sends as much as the average sender, or more."""
        counts = (self._sent_before, self._sent)
        senders = self._sent_before.keys() | self._sent.keys()
        own = sum(one.get(sender, 0) for one in counts)
        return own * len(senders) >= sum(sum(one.values()) for one in counts)

"""`Waiting`: the queue of the writer, with a lane for each sender.

The commands of a lane are taken in order, and the lanes take turns, so that no sender waits behind all that
another one has sent. Nor does a sender take all the room: the less is left, the less may wait in one lane.

No command waits for long. The rate at which commands are taken tells when a new one would have its turn. If
that is too late, it is refused as busy before it is even decoded. So each command that is let in is answered
soon, however many are sent; and a sender of less than its share is let in, whatever the others send.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import apsw

from bus.writing.submission import Outcome, Submission, refused
from domain.errors import Busy, Unavailable

# The most that may wait of one sender.
MAXIMUM_WAITING_COMMANDS = 20_000
MAXIMUM_WAITING_BYTES = 256 * 1024 * 1024
RETRY_AFTER_MS = 100
# How long a command may wait until it is taken.
BUSY_AFTER_MS = 250
# This many may come once nothing waits, however long they take: a burst is no overload.
BURST_COMMANDS = 1_000
# This many may wait in any case: two groups, so that the writer never waits for the next one.
FEWEST_WAITING_COMMANDS = 256
# The time over which the rate of the commands taken is measured.
RATE_NS = 250_000_000
# For this long after a command was refused as busy, what comes is no burst.
CALM_SECONDS = 1.0
# One sender may have this many times the room that is left. The whole room is a quarter more than the most
# for one sender, so that one may have four fifths of it, and the next one four fifths of the rest. The
# senders that have most get no more until there is room again.
_SHARE = 4
_ROOM_COMMANDS = MAXIMUM_WAITING_COMMANDS * (_SHARE + 1) // _SHARE
_ROOM_BYTES = MAXIMUM_WAITING_BYTES * (_SHARE + 1) // _SHARE

# The lane of all submissions that must be decided in order, of any sender. No sender has that name.
_IN_ORDER = ""

# A function that runs in a transaction of its own, and the one that is called with its result or error.
Errand = tuple[Callable[[apsw.Connection], Any], Callable[[Any], None]]


class _Lane:
    """The waiting submissions of one sender."""

    __slots__ = ("commands", "size_bytes", "submissions")

    def __init__(self) -> None:
        self.submissions: deque[Submission] = deque()
        self.commands = 0
        self.size_bytes = 0


class Waiting:
    """Commands, those of a sender in the order in which they came, and errands.

    Any thread may add some; `wake` is called then. A command may wait for `busy_after_ms`; 0: for ever.
    `clock` counts nanoseconds.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        busy_after_ms: int = BUSY_AFTER_MS,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._wake = wake
        self._clock = clock
        self._longest_ns = busy_after_ms * 1_000_000 or math.inf
        self._too_late = refused(
            Busy("too much is sent to wait for", hint="try again", retry_after_ms=busy_after_ms)
        )
        # How many commands are taken in a nanosecond while the writer is busy all the time; infinite, if it
        # has not been so lately.
        self._rate = math.inf
        self._taken_at = self._clock()
        self._taken = 0
        self._are_left = False
        # How many have come since none waited, without those to be decided in order: these come when there is
        # room.
        self._burst = 0
        # When a command was last refused as busy.
        self._turned_away_at: int | None = None
        # Whether a message read lately had waited for long before. The reader of messages sets it.
        self.is_read_late = False
        self._lock = threading.Lock()
        # The first lane is the next to be taken from. Empty lanes are not kept.
        self._lanes: dict[str | None, _Lane] = {}
        self._errands: deque[Errand] = deque()
        self._bytes = 0
        self.commands = 0
        # How many commands were taken so far, without those to be decided in order.
        self.requests = 0
        self.is_closed = False

    def __bool__(self) -> bool:
        return bool(self._lanes or self._errands)

    def close(self) -> None:
        """Refuses all that comes from now on."""
        with self._lock:
            self.is_closed = True
        self._wake()

    def too_late(self, sender: str | None, arrived_ns: int) -> Outcome | None:
        """The refusal of a message that arrived at that time, if it would wait too long; else `None`.

        A message that is refused need not be decoded.
        """
        lane = self._lanes.get(sender)
        if lane is None or self._burst < BURST_COMMANDS:
            return None
        # Commands of the other lanes take turns with the sender's own.
        ahead = min(lane.commands * len(self._lanes), self.commands)
        if ahead < FEWEST_WAITING_COMMANDS:
            return None
        now = self._clock()
        if ahead < self._rate * (self._longest_ns - (now - arrived_ns)):
            return None
        self._turned_away_at = now
        return self._too_late

    def has_turned_away_within(self, seconds: float) -> bool:
        """Whether a command was refused as busy within that many seconds before now."""
        at = self._turned_away_at
        return at is not None and self._clock() - at < seconds * 1e9

    def was_read_late(self) -> bool:
        """Whether messages read since the last call had waited for long before: there may be more of them."""
        was_late, self.is_read_late = self.is_read_late, False
        return was_late

    @property
    def wait_seconds(self) -> float:
        """How long a command that comes now will wait, if all waiting ones are taken before it."""
        return self.commands / self._rate / 1e9

    def submit(self, submissions: list[Submission]) -> list[Submission]:
        """Queues what there is room for, in order, and answers with what was refused: see `Writer.submit`."""
        turned_away = []
        with self._lock:
            for one in submissions:
                if self.is_closed:
                    one.outcome = refused(shutting_down())
                    turned_away.append(one)
                # A smaller submission must not overtake one that was refused.
                elif turned_away or not self._is_taken(one):
                    self._turned_away_at = self._clock()
                    one.outcome = refused(
                        Busy("too many commands wait", hint="try again", retry_after_ms=RETRY_AFTER_MS)
                    )
                    turned_away.append(one)
        self._wake()
        return turned_away

    def _is_taken(self, one: Submission) -> bool:
        """Whether there is room for a submission, which is queued then."""
        sender, count = _IN_ORDER if one.in_order else one.sender, len(one.requests)
        lane = self._lanes.get(sender) or _Lane()
        own, own_bytes = lane.commands + count, lane.size_bytes + one.size_bytes
        commands, size_bytes = self.commands + count, self._bytes + one.size_bytes
        if own > _SHARE * (_ROOM_COMMANDS - commands) or own_bytes > _SHARE * (_ROOM_BYTES - size_bytes):
            return False
        if not lane.submissions:
            self._lanes[sender] = lane
        if not one.in_order:
            self._burst += count
        lane.submissions.append(one)
        lane.commands, lane.size_bytes = own, own_bytes
        self.commands, self._bytes = commands, size_bytes
        return True

    def add_errand(self, errand: Errand) -> bool:
        """Whether the errand was queued; it is not once this is closed."""
        with self._lock:
            if self.is_closed:
                return False
            self._errands.append(errand)
        self._wake()
        return True

    def take(self, limit: int) -> tuple[list[Submission], list[Errand]]:
        """The first submissions of each lane, with `limit` commands or a few more, and all errands."""
        with self._lock:
            taken: list[Submission] = []
            count = 0
            self._measure()
            while self._lanes and count < limit:
                sender, lane = next(iter(self._lanes.items()))
                is_alone = len(self._lanes) == 1
                commands = size_bytes = 0
                while lane.submissions and count + commands < limit:
                    one = lane.submissions.popleft()
                    taken.append(one)
                    commands += len(one.requests)
                    size_bytes += one.size_bytes
                    if not is_alone:
                        break
                count += commands
                if sender != _IN_ORDER:
                    self.requests += commands
                lane.commands -= commands
                lane.size_bytes -= size_bytes
                self._bytes -= size_bytes
                # The lane goes behind the others, unless it is empty.
                del self._lanes[sender]
                if lane.submissions:
                    self._lanes[sender] = lane
            self.commands -= count
            self._taken, self._are_left = count, self.commands > 0
            if self._lanes.keys() <= {_IN_ORDER} and not self.has_turned_away_within(CALM_SECONDS):
                self._burst = 0
            errands = list(self._errands)
            self._errands.clear()
            return taken, errands

    def errands_are_done(self) -> None:
        """Notes that the group taken last begins only now: the errands were done first."""
        with self._lock:
            self._taken_at = self._clock()

    def _measure(self) -> None:
        """Measures the rate by how long the last group took, if commands waited for it."""
        now = self._clock()
        took_ns, self._taken_at = now - self._taken_at, now
        if self._are_left:
            taken = self._taken / max(took_ns, 1)
            weight = 1.0 if self._rate == math.inf else min(took_ns / RATE_NS, 1.0)
            self._rate = taken if weight == 1 else self._rate + weight * (taken - self._rate)
        elif took_ns > RATE_NS:
            # The writer was idle for so long that the old rate says nothing any more.
            self._rate = math.inf

    def take_in_order(self) -> list[Submission]:
        """All waiting submissions that must be decided in order, taken out of the queue."""
        with self._lock:
            lane = self._lanes.pop(_IN_ORDER, None)
            if lane is None:
                return []
            self.commands -= lane.commands
            self._bytes -= lane.size_bytes
            return list(lane.submissions)


def not_ours(**details: Any) -> Unavailable:
    """The refusal of commands while another service may have the store."""
    return Unavailable(
        "another service may have taken over the store",
        hint="try again, with the same command id",
        retry_after_ms=1_000,
        **details,
    )


def shutting_down() -> Unavailable:
    """The refusal of commands and errands that come after the end."""
    return Unavailable("the service is shutting down", retry_after_ms=1_000)

"""`Waiting`: what waits for the writer, in a lane for each sender.

Each lane is worked off in order, and all of them in turns, so that nobody waits behind all that another has
sent. And no sender takes all the room: the less of it is left, the less may wait in one lane.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import apsw

from bus.writing.submission import Submission, refused
from domain.errors import Busy, Unavailable

# Of one sender.
MAXIMUM_WAITING_COMMANDS = 20_000
MAXIMUM_WAITING_BYTES = 256 * 1024 * 1024
RETRY_AFTER_MS = 100
# How many times what is left one sender may have. All together have a quarter more of room than one alone,
# which has four fifths of it, therefore; the next one has four fifths of the rest. Those who have most get
# nothing more until there is room again.
_SHARE = 4
_ROOM_COMMANDS = MAXIMUM_WAITING_COMMANDS * (_SHARE + 1) // _SHARE
_ROOM_BYTES = MAXIMUM_WAITING_BYTES * (_SHARE + 1) // _SHARE

# The lane of those that must be decided in order, whoever sent them. No sender has that name.
_IN_ORDER = ""

# What is done in a transaction of its own, and who hears of its result or error.
Errand = tuple[Callable[[apsw.Connection], Any], Callable[[Any], None]]


class _Lane:
    """What waits of one sender."""

    __slots__ = ("commands", "size_bytes", "submissions")

    def __init__(self) -> None:
        self.submissions: deque[Submission] = deque()
        self.commands = 0
        self.size_bytes = 0


class Waiting:
    """Commands, those of a sender in the order in which they came, and errands.

    Any thread may add some; `wake` hears of it.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        # The next one to be taken from is the first; empty ones are not kept.
        self._lanes: dict[str | None, _Lane] = {}
        self._errands: deque[Errand] = deque()
        self._bytes = 0
        self.commands = 0
        self.is_closed = False

    def __bool__(self) -> bool:
        return bool(self._lanes or self._errands)

    def close(self) -> None:
        """Takes nothing more."""
        with self._lock:
            self.is_closed = True
        self._wake()

    def submit(self, submissions: list[Submission]) -> list[Submission]:
        """Takes what there is room for, in order, and answers with what was refused: see the writer's."""
        turned_away = []
        with self._lock:
            for one in submissions:
                if self.is_closed:
                    one.outcome = refused(shutting_down())
                    turned_away.append(one)
                # A smaller one must not pass by one that was turned away.
                elif turned_away or not self._is_taken(one):
                    one.outcome = refused(
                        Busy("too many commands wait", hint="try again", retry_after_ms=RETRY_AFTER_MS)
                    )
                    turned_away.append(one)
        self._wake()
        return turned_away

    def _is_taken(self, one: Submission) -> bool:
        """Whether there is room for one, which has it then."""
        sender, count = _IN_ORDER if one.in_order else one.sender, len(one.requests)
        lane = self._lanes.get(sender) or _Lane()
        own, own_bytes = lane.commands + count, lane.size_bytes + one.size_bytes
        commands, size_bytes = self.commands + count, self._bytes + one.size_bytes
        if own > _SHARE * (_ROOM_COMMANDS - commands) or own_bytes > _SHARE * (_ROOM_BYTES - size_bytes):
            return False
        if not lane.submissions:
            self._lanes[sender] = lane
        lane.submissions.append(one)
        lane.commands, lane.size_bytes = own, own_bytes
        self.commands, self._bytes = commands, size_bytes
        return True

    def add_errand(self, errand: Errand) -> bool:
        """Whether it was taken, which it is until the end."""
        with self._lock:
            if self.is_closed:
                return False
            self._errands.append(errand)
        self._wake()
        return True

    def take(self, limit: int) -> tuple[list[Submission], list[Errand]]:
        """The first submissions of each lane, with so many commands or a few more, and all errands."""
        with self._lock:
            taken: list[Submission] = []
            count = 0
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
                lane.commands -= commands
                lane.size_bytes -= size_bytes
                self._bytes -= size_bytes
                # Behind the others now, if there is more of it.
                del self._lanes[sender]
                if lane.submissions:
                    self._lanes[sender] = lane
            self.commands -= count
            errands = list(self._errands)
            self._errands.clear()
            return taken, errands

    def take_in_order(self) -> list[Submission]:
        """All that are only to be decided behind each other."""
        with self._lock:
            lane = self._lanes.pop(_IN_ORDER, None)
            if lane is None:
                return []
            self.commands -= lane.commands
            self._bytes -= lane.size_bytes
            return list(lane.submissions)


def shutting_down() -> Unavailable:
    """Said to whoever comes too late."""
    return Unavailable("the service is shutting down", retry_after_ms=1_000)

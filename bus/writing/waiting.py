"""`Waiting`: what waits for the writer."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import apsw

from bus.writing.submission import Submission, refused
from domain.errors import Busy, Unavailable

MAXIMUM_WAITING_COMMANDS = 20_000
MAXIMUM_WAITING_BYTES = 256 * 1024 * 1024
RETRY_AFTER_MS = 100

# What is done in a transaction of its own, and who hears of its result or error.
Errand = tuple[Callable[[apsw.Connection], Any], Callable[[Any], None]]


class Waiting:
    """Commands and errands in the order in which they came. Any thread may add some; `wake` hears of it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._submissions: deque[Submission] = deque()
        self._errands: deque[Errand] = deque()
        self._bytes = 0
        self.commands = 0
        self.is_closed = False

    def __bool__(self) -> bool:
        return bool(self._submissions or self._errands)

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
                count = len(one.requests)
                if self.is_closed:
                    one.outcome = refused(shutting_down())
                    turned_away.append(one)
                elif (
                    # A smaller one must not pass by one that was turned away.
                    turned_away
                    or self.commands + count > MAXIMUM_WAITING_COMMANDS
                    or self._bytes + one.size_bytes > MAXIMUM_WAITING_BYTES
                ):
                    one.outcome = refused(
                        Busy("too many commands wait", hint="try again", retry_after_ms=RETRY_AFTER_MS)
                    )
                    turned_away.append(one)
                else:
                    self._submissions.append(one)
                    self.commands += count
                    self._bytes += one.size_bytes
        self._wake()
        return turned_away

    def add_errand(self, errand: Errand) -> bool:
        """Whether it was taken, which it is until the end."""
        with self._lock:
            if self.is_closed:
                return False
            self._errands.append(errand)
        self._wake()
        return True

    def take(self, limit: int) -> tuple[list[Submission], list[Errand]]:
        """The submissions that came first, with so many commands or a few more, and all errands."""
        with self._lock:
            taken: list[Submission] = []
            count = 0
            while self._submissions and count < limit:
                one = self._submissions.popleft()
                taken.append(one)
                count += len(one.requests)
                self._bytes -= one.size_bytes
            self.commands -= count
            errands = list(self._errands)
            self._errands.clear()
            return taken, errands

    def take_in_order(self) -> list[Submission]:
        """All that are only to be decided behind each other."""
        with self._lock:
            taken = [one for one in self._submissions if one.in_order]
            self._submissions = deque(one for one in self._submissions if not one.in_order)
            self.commands -= sum(len(one.requests) for one in taken)
            self._bytes -= sum(one.size_bytes for one in taken)
            return taken


def shutting_down() -> Unavailable:
    """Said to whoever comes too late."""
    return Unavailable("the service is shutting down", retry_after_ms=1_000)

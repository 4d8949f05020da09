"""`LogSubscription`: every event from a position on, and then each new one as it is committed."""

from collections import deque
from collections.abc import Sequence
from threading import Condition

from eventsourcing.persistence import ApplicationRecorder, Notification, Subscription

# How often the log is checked for commits of other processes, or of other factories in this process; nothing
# tells us of them. A check costs one lookup at the end of a B-tree.
POLL_SECONDS = 0.05
# A compromise between memory and round trips: 500 events of 1 KiB are half a megabyte.
PAGE_EVENTS = 500


class CommitSignal:
    """Wakes waiting threads after each commit that is made through the same `Database`.

    `count` is the number of announcements. Read it before you look at the log, then wait for it to change.
    """

    def __init__(self) -> None:
        self._announced = Condition()
        self.count = 0

    def announce(self) -> None:
        """Wakes all waiting threads."""
        with self._announced:
            self.count += 1
            self._announced.notify_all()

    def wait(self, seen: int, timeout_seconds: float) -> None:
        """Returns once the count is no longer `seen`, or the time is over."""
        with self._announced:
            self._announced.wait_for(lambda: self.count != seen, timeout_seconds)


class LogSubscription(Subscription[ApplicationRecorder]):
    """An endless iterator over the log's notifications behind a position, for one thread.

    It ends when any thread calls `stop`. It has no thread of its own: it reads one page ahead at most, while
    `next` is called.
    """

    def __init__(
        self,
        recorder: ApplicationRecorder,
        commits: CommitSignal,
        gt: int | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._commits = commits
        self._reached = gt or 0
        self._page: deque[Notification] = deque()

    def stop(self) -> None:
        super().stop()
        self._commits.announce()

    def __next__(self) -> Notification:
        while True:
            # Read before the log: any later commit changes the count, and ends the wait at once.
            seen = self._commits.count
            if self._has_been_stopped:
                raise StopIteration
            if not self._page:
                self._read_page()
            if self._page:
                return self._page.popleft()
            self._commits.wait(seen, POLL_SECONDS)

    def _read_page(self) -> None:
        # Positions up to the head are complete, so that part is not searched again, even if few events in it
        # have one of the topics.
        head = self._recorder.max_notification_id() or 0
        if head <= self._reached:
            return
        page = self._recorder.select_notifications(
            self._reached, PAGE_EVENTS, head, self._topics, inclusive_of_start=False
        )
        self._page.extend(page)
        self._reached = page[-1].id if len(page) == PAGE_EVENTS else head

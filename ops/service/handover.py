"""`Handover`: which parts are told of a commit, in which thread, and when."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from bus.log import chain
from bus.serving.durable.delivery import Delivery
from bus.writing.submission import Commit
from ops.audit.let_through import LetThrough
from ops.parts import Leading
from ops.service.notices import Notices
from ops.service.traces import Traces

# How often the event loop is told of commits, unless a task waits there for one. Each time, the loop and the
# writer's thread switch turns at the interpreter, which costs more than to decide a command.
PACE_SECONDS = 0.002


class Handover:
    """Passes commits from the writer's thread to the other parts.

    Commands are answered at once. The event loop, in which this object is made, is told of the first commit
    at once, and of commits within the next `PACE_SECONDS` together at their end, in order.
    """

    def __init__(
        self,
        leading: Leading,
        let_through: LetThrough,
        notices: Notices,
        *,
        traces: Traces | None,
        tell: Callable[[Sequence[chain.Row]], None],
    ) -> None:
        self._leading = leading
        self._let_through = let_through
        self._notices = notices
        self._traces = traces
        self._tell_others = tell
        self._loop = asyncio.get_running_loop()
        self._commits: deque[Commit] = deque()
        self._is_coming = False
        self._timer: asyncio.TimerHandle | None = None

    def put(self, commit: Commit) -> None:
        """Answers the commands of a commit that is on disk, and hands it over; in the writer's thread."""
        # Answers go out before the events, so that clients can send their next commands meanwhile.
        others = self._leading.intake.answer(commit.submissions)
        is_waited_for = self._traces is not None or any(one.context is not None for one in others)
        self._commits.append(commit)
        if is_waited_for or not self._is_coming:
            self._is_coming = True
            # If the loop is closed, no part is left to tell.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.take)

    def take(self) -> None:
        """Tells the parts of the commits that were handed over; in the event loop's thread."""
        if self._timer is not None:
            self._timer.cancel()
        # Reset before the check, so that a commit that is handed over after it schedules a new call.
        self._is_coming = False
        if not self._commits:
            return
        self._is_coming = True
        self._timer = self._loop.call_later(PACE_SECONDS, self.take)
        while self._commits:
            self._tell(self._commits.popleft())

    def _tell(self, commit: Commit) -> None:
        leading = self._leading
        durable = []
        for one in commit.submissions:
            if isinstance(one.context, Delivery):
                durable.append(one)
            elif isinstance(one.context, threading.Event):
                one.context.set()
        if durable:
            leading.durable.answered(durable)
        if self._traces is not None:
            # Before the relay publishes the events: their spans end when the stream has them.
            self._traces.committed(commit)
        leading.archiver.notify(commit)
        if leading.trailing is not None:
            leading.trailing.notify(commit)
        if commit.rows:
            self._tell_others(commit.rows)
            leading.relay.notify(commit.rows)
            leading.mirrors.notify(commit.rows)
        if commit.let_through:
            self._let_through.hear(commit.let_through)
        for notice in commit.notices:
            self._notices.of_commit(notice)

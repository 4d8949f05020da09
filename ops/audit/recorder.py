"""Records the acts of a running service: `Recorder`. A thread writes, so the event loop never waits for it.

write   an operator's act, which is on disk when this returns
note    an act that has happened already, such as a refused log-in: on disk a moment later
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bus.measures import Tally
from bus.serving.audit import Act, Actor
from ops.audit.entry import Head
from ops.audit.files import AuditError
from ops.audit.repeats import Repeats
from ops.audit.trail import AuditTrail

# How many acts wait while the disk can't be written. Further acts are lost; a later line counts them.
MAXIMUM_WAITING = 1_000
# How often waiting acts are tried again, and counted ones are checked.
LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Recorder:
    """Records for one process. Used from the event loop's thread only; `now_ms` is the service's clock.

    `counts` is the number of acts by action and outcome; `problem` is why the last acts could not be written,
    `None` if they could; `lost` is how many acts will never be written.
    """

    def __init__(self, trail: AuditTrail, now_ms: Callable[[], int] = _now_ms) -> None:
        self.trail = trail
        self.counts = Tally()
        self.problem: str | None = None
        self.lost = 0
        self.head = Head()
        self._now_ms = now_ms
        self._repeats = Repeats()
        self._waiting: deque[Act] = deque()
        # How many acts were taken from `_waiting` to be written; they go back there if that fails.
        self._being_written = 0
        # How many lost acts no line tells of yet.
        self._unsaid = 0
        self._flushing = asyncio.Lock()
        self._has_news = asyncio.Event()

    async def write(self, act: Act) -> None:
        """Returns when an act is on disk, or is counted: see `Repeats`.

        Raises:
            AuditError: the act cannot be written.
        """
        self._count(act)
        if self._repeats.is_to_be_written(act):
            await self._append(act)

    def note(self, act: Act) -> None:
        """Has an act written soon, or counted."""
        self._count(act)
        if self._repeats.is_to_be_written(act):
            self._wait(act)

    async def write_or_note(self, act: Act) -> None:
        """Like `write`, for an act that has happened already: if it cannot be written now, it is later."""
        try:
            await self.write(act)
        except AuditError:
            self._wait(act)

    async def run(self) -> None:
        """Writes noted acts until it is cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._has_news.wait()
            except TimeoutError:
                pass
            try:
                await self.flush()
            except Exception:  # after any error with one act, further acts are still recorded
                logger.exception("what was noted for the audit log is lost")
            if self.problem is not None:
                await asyncio.sleep(LOOK_SECONDS)

    async def flush(self, *, last: bool = False) -> None:
        """Writes the noted acts now; the `last` call also writes what is only counted so far."""
        async with self._flushing:
            self._has_news.clear()
            for act in self._repeats.counted(self._now_ms(), all_of_them=last):
                self._wait(act)
            acts, unsaid = tuple(self._waiting), self._unsaid
            if not acts and not unsaid:
                return
            self._waiting.clear()
            self._being_written, self._unsaid = len(acts), 0
            try:
                await self._append(*acts, *([self._about_lost(unsaid)] if unsaid else []))
            except AuditError:
                self._waiting.extendleft(reversed(acts))
                self._unsaid += unsaid
            finally:
                self._being_written = 0

    async def read_head(self) -> None:
        """Reads the head of the log anew: another process may have appended."""
        # A log that cannot be read cannot be written either, which `problem` then says.
        with suppress(AuditError):
            self.head = await asyncio.to_thread(self.trail.head)

    @property
    def figures(self) -> dict[str, Any]:
        """The state of the audit log, for monitoring."""
        return {
            "head": str(self.head),
            "problem": self.problem,
            "waiting": len(self._waiting),
            "lost": self.lost,
        }

    def _count(self, act: Act) -> None:
        # A dry run does not count as done.
        self.counts.add(act.action, "tried" if act.dry_run and act.outcome == "done" else act.outcome)

    def _wait(self, act: Act) -> None:
        if len(self._waiting) + self._being_written < MAXIMUM_WAITING:
            self._waiting.append(act)
            self._has_news.set()
        else:
            self.lost += 1
            self._unsaid += 1

    async def _append(self, *acts: Act) -> None:
        try:
            self.head = await asyncio.to_thread(self.trail.append, *acts)
        except AuditError as error:
            self._failed(error)
            raise
        if self.problem is not None:
            logger.info("the audit log can be written again")
            self.problem = None

    def _failed(self, error: AuditError) -> None:
        if self.problem is None:
            logger.error("%s: %s", error.strerror, error.filename)
        self.problem = str(error.strerror)

    def _about_lost(self, count: int) -> Act:
        return Act(
            at=self._now_ms(),
            actor=Actor(name="hyperpage", via="service"),
            action="audit.lost",
            request=f'{{"acts":{count}}}',
            outcome="failed",
            code="not_written",
        )

"""The leader's side of the log: no group is committed that the log does not have.

    decide, write rows ──▶ frame into the log ──▶ stored ──▶ COMMIT ──▶ answers
                                 │ refused, or nobody knows: look where the log ends
                                 ├── ours is its last ──▶ COMMIT
                                 ├── it ends where it did ──▶ send the same again: it is stored once at most
                                 └── another's, or nothing to be had for long ──▶ ROLLBACK, and lead no more

A leader's first frame is its *term*. From then on the log refuses what any leader before it sends, since each
message expects the one before it: this is all that safety rests on. One that has ended leading never sends
again; what it has sent may still arrive until the next term does, so its outcome is unknown until then.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import nats.errors

from bus.contract.subjects import BusNames
from bus.replication.applying import Applier
from bus.replication.following import catch_up
from bus.replication.frame import Frame, FrameError, frame_of, messages_of
from bus.replication.lease import LeaseLostError
from bus.replication.log_stream import (
    EarlierTimelineError,
    LogEnd,
    LogStream,
    LogStreamError,
    Tail,
)
from bus.replication.putting_back import frames_lacking, term_of
from bus.tasks import to_its_end
from bus.transport.connection import LeanClient
from bus.transport.jetstream import JetStreamError, StreamFullError, UnansweredError, WrongSequenceError
from bus.writing.content import Content
from domain.errors import Unavailable

# How long a group waits for a log of which nothing is heard. Its callers have given up long before, and ask
# again with the same ids.
HOLD_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5
TAKE_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Term(msgspec.Struct, frozen=True):
    """A leader's turn: its number, the message that began it, and the log's identity."""

    number: int
    tail: Tail
    store_id: str
    timeline: int


async def take_term(
    log: LogStream, applier: Applier, name: str, may_lead: Callable[[], bool] = lambda: True
) -> Term:
    """Begins a term, with everything in the log applied: from here on, whoever led before stores nothing.

    What the log lacks at its end and the file has, is put back first: a broker may lose what it has stored.
    A file that was restored since gets a log of its own: that of the timeline before is deleted.
    `may_lead` is asked right before each step that takes the log from others.

    Raises:
        LeaseLostError: it may not lead any more.
        LogStreamError, FrameError: the log is not this file's, or cannot be read.
        JetStreamError: the broker refuses, or does not answer, for 30 s.
    """
    until = time.monotonic() + TAKE_SECONDS
    while True:
        try:
            try:
                end = await catch_up(log, applier)
            except EarlierTimelineError as error:
                logger.warning(
                    "%s: the log is begun anew at position %d", error.problem, applier.head.position
                )
                _require(may_lead)
                await log.begin_anew(timeline=applier.timeline, position=applier.head.position)
                continue
            if end.place is None and applier.head.position < end.begins:
                raise LogStreamError(
                    f"the log was made to go on behind position {end.begins}, and this file ends at"
                    f" {applier.head.position}",
                    "another member has more, and is to lead",
                )
            number = 1 if end.place is None else end.place.term + 1
            tail = end.tail
            frames = await to_its_end(partial(_first_frames, applier, end, number, name))
            for frame in frames:
                for body in messages_of(frame):
                    _require(may_lead)
                    tail = await log.append(body, tail)
            if len(frames) > 1:
                logger.warning(
                    "the log had lost its end: it was at position %d, and is at %d again",
                    *(end.position, applier.head.position),
                )
            return Term(number, tail, applier.store_id, applier.timeline)
        except JetStreamError:
            # Also where another one was quicker, or where it is not known whether it was stored.
            if time.monotonic() > until:
                raise
        await asyncio.sleep(LONGEST_PAUSE_SECONDS)


def _require(may_lead: Callable[[], bool]) -> None:
    if not may_lead():
        raise LeaseLostError("the lease was lost before a term was taken")


def _first_frames(applier: Applier, end: LogEnd, number: int, name: str) -> list[Frame]:
    """What is put back, and the term."""
    lacking = [] if end.place is None else frames_lacking(applier, end.position, number)
    return [*lacking, term_of(applier, number, name)]


class Replicator:
    """The leader of a term. `store` and `open` are called in the writer's thread, all else from any.

    `connect` makes the connection on which frames go out. `on_end` is told, in the writer's thread, why it
    leads no more. A group waits for the log for `hold_seconds` at most.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[LeanClient]],
        names: BusNames,
        term: Term,
        *,
        on_end: Callable[[str], None],
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        self._connect = connect
        self._names = names
        self._connection: LeanClient | None = None
        self._log: LogStream | None = None
        self._tail = term.tail
        self._on_end = on_end
        self._hold_seconds = hold_seconds
        self.term = term
        self.ended: str | None = None
        self.waits_since: float | None = None

    async def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def store(self, content: Content) -> None:
        """Returns when the log has it.

        Raises:
            Unavailable: the log does not have it, or nobody knows; `details.outcome` says which.
        """
        if self.ended is not None:
            raise leads_no_more()
        frame = frame_of(
            content, store_id=self.term.store_id, timeline=self.term.timeline, term=self.term.number
        )
        messages = messages_of(frame)
        self.waits_since = time.monotonic()
        until = self.waits_since + self._hold_seconds
        try:
            for body in messages:
                await self._store(body, until)
        finally:
            self.waits_since = None

    def not_committed(self) -> None:
        """Ends leading: the log has more than the file."""
        self._end("the log has a group that could not be committed here")

    async def _store(self, body: bytes, until: float) -> None:
        """Returns when a message is the log's last."""
        pause = FIRST_PAUSE_SECONDS
        may_be_there = False
        while True:
            try:
                log = await self._opened()
            except (RuntimeError, nats.errors.Error, OSError) as error:
                # No nats-server lets us in.
                problem: Exception = error
            else:
                try:
                    self._tail = await log.append(body, self._tail)
                    return
                except StreamFullError as error:
                    if not may_be_there:
                        # Parts before it are there, and count for nothing without it.
                        raise Unavailable(
                            f"the log of the cluster has no room: {error.problem}",
                            hint="try again",
                            retry_after_ms=1_000,
                        ) from None
                    problem = error
                except Exception as error:
                    may_be_there = may_be_there or _may_be_stored(error)
                    problem = error
                if may_be_there and await self._is_stored(log, body):
                    return
            if time.monotonic() > until:
                self._end(f"the log does not answer: {problem}")
                raise leads_no_more(outcome="unknown") if may_be_there else leads_no_more()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _is_stored(self, log: LogStream, body: bytes) -> bool:
        """Whether the log ends with this message; not yet, where it ends as it did before.

        Raises:
            Unavailable: it has gone on without this leader.
        """
        try:
            end = await log.end()
        except JetStreamError as error:
            logger.debug("where the log ends cannot be seen: %s", error)
            return False
        except (LogStreamError, FrameError) as error:
            self._end(str(error))
            raise leads_no_more(outcome="unknown") from None
        tail = end.tail
        if tail.sequence == self._tail.sequence and tail.body in (None, self._tail.body):
            return False
        if tail == Tail(self._tail.sequence + 1, body):
            self._tail = tail
            return True
        self._end(
            "another one leads"
            if tail.sequence > self._tail.sequence
            else f"the log has lost its end: it is at {tail.sequence}, and was at {self._tail.sequence}"
        )
        raise leads_no_more(outcome="unknown")

    async def _opened(self) -> LogStream:
        if self._log is None:
            self._connection = await self._connect()
            self._log = LogStream(self._connection, self._names, self.term.store_id)
        return self._log

    def _end(self, why: str) -> None:
        if self.ended is None:
            self.ended = why
            logger.warning("this one leads no more: %s", why)
            self._on_end(why)


def _may_be_stored(error: Exception) -> bool:
    """Whether a message may be in the log, now or soon, of which that came."""
    is_known = isinstance(error, JetStreamError)
    return not is_known or isinstance(error, UnansweredError | WrongSequenceError)


def leads_no_more(**details: str) -> Unavailable:
    """The refusal of commands by one that has ended leading."""
    return Unavailable(
        "this one leads the cluster no more",
        hint="try again, with the same command id",
        retry_after_ms=500,
        **details,
    )

"""`Replicator`: the leader's side of the log. No group is committed that the log does not have.

    decide, write rows ──▶ frame into the log ──▶ stored ──▶ COMMIT ──▶ answers
                                 │ refused, or unknown: look where the log ends
                                 ├── with this frame ──▶ COMMIT
                                 ├── where it did before ──▶ send the same again: it is stored once at most
                                 └── with another leader's, or no answer for long ──▶ ROLLBACK, lead no more

From a leader's *term* on (`bus.replication.terms`), the log refuses the messages of all earlier leaders,
since each message expects the sequence of the one before it. Safety rests on this alone. A log that has lost
its end may reach the same sequence with another leader's messages. So a leader that was silent for a moment
looks at the message before its own, before it commits. A leader that has ended never sends again. A message
that it has sent may still arrive until the next term begins, so its outcome is unknown until then.

If the log trails, no group waits for it, and frames are made from the file (`bus.replication.trailing`).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import nats.errors

from bus.replication.frame import FORMAT, Frame, FrameError, frame_of, messages_of
from bus.replication.log_stream import LogStream, LogStreamError, Tail
from bus.replication.terms import Term
from bus.transport.jetstream import JetStreamError, StreamFullError, UnansweredError, WrongSequenceError
from bus.writing.content import Content
from domain.errors import Unavailable
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient

# How long a group waits for a log that does not answer. Its callers have given up long before, and ask again
# with the same ids.
HOLD_SECONDS = 10.0
# How long a leader is sure of the log's end without a look. It takes longer until nats-servers that have lost
# messages answer again and another member leads. A leader that commits all the time never has to look.
SURE_SECONDS = 0.25
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5

_UNSURE = JetStreamError("what stands before the last message cannot be seen")

logger = logging.getLogger(__name__)


class Replicator:
    """The leader of a term. Its methods are called in one event loop: the writer's, unless the log trails.

    Any thread may read `ended` and `waits_since`. `connect` makes the connection on which frames go out.
    `on_end` is called in that loop with the reason why it leads no more. A group waits for the log for
    `hold_seconds` at most. `form` answers with the form of frames that all members read now.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[LeanClient]],
        names: BusNames,
        term: Term,
        *,
        on_end: Callable[[str], None],
        hold_seconds: float = HOLD_SECONDS,
        form: Callable[[], int] = lambda: FORMAT,
    ) -> None:
        self._connect = connect
        self._names = names
        self._connection: LeanClient | None = None
        self._log: LogStream | None = None
        self._tail = term.tail
        # When the log's end was last known to be this leader's own.
        self._sure_at = -float("inf")
        self._on_end = on_end
        self._hold_seconds = hold_seconds
        self._form = form
        self.term = term
        self.ended: str | None = None
        self.waits_since: float | None = None

    async def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def store(self, content: Content) -> None:
        """Returns when the log has the content.

        Raises:
            Unavailable: the log does not have it, or that is unknown; `details.outcome` says which.
        """
        term = self.term
        await self.store_frame(
            frame_of(content, store_id=term.store_id, timeline=term.timeline, term=term.number)
        )

    async def store_frame(self, frame: Frame) -> None:
        """Returns when the log has the frame, which is of this term.

        Raises:
            Unavailable: as `store`.
        """
        if self.ended is not None:
            raise leads_no_more()
        messages = messages_of(frame, form=self._form())
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
        """Returns when a message is the log's last, after this leader's own last one."""
        pause = FIRST_PAUSE_SECONDS
        may_be_there = False
        while True:
            try:
                log = await self._opened()
            except (RuntimeError, nats.errors.Error, OSError) as error:
                # No nats-server accepts a connection.
                problem: Exception = error
            else:
                is_there, problem = False, _UNSURE
                try:
                    await log.append(body, self._tail)
                    is_there = True
                except StreamFullError as error:
                    if not may_be_there:
                        # Parts of the frame that were stored before do not count without this one.
                        raise Unavailable(
                            f"the log of the cluster has no room: {error.problem}",
                            hint="try again",
                            retry_after_ms=1_000,
                        ) from None
                    problem = error
                except Exception as error:
                    may_be_there = may_be_there or _may_be_stored(error)
                    problem = error
                if is_there or (may_be_there and await self._is_stored(log, body)):
                    may_be_there = True
                    if await self._is_behind_own(log):
                        self._tail = Tail(self._tail.sequence + 1, body)
                        self._sure_at = time.monotonic()
                        return
            if time.monotonic() > until:
                self._end(f"the log does not answer: {problem}")
                raise leads_no_more(outcome="unknown") if may_be_there else leads_no_more()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _is_stored(self, log: LogStream, body: bytes) -> bool:
        """Whether the log ends with this message; False if it ends as it did before, or cannot be seen.

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
            return True
        self._end(
            "another one leads"
            if tail.sequence > self._tail.sequence
            else f"the log has lost its end: it is at {tail.sequence}, and was at {self._tail.sequence}"
        )
        raise leads_no_more(outcome="unknown")

    async def _is_behind_own(self, log: LogStream) -> bool:
        """Whether the message that was just stored follows this leader's own last one; False: not known yet.

        If the log has lost its end, another leader's messages may have got the same sequences. Then the
        message was stored after one of these, with the sequence that it expects.

        Raises:
            Unavailable: it follows another leader's message.
        """
        if self._tail.body is None or time.monotonic() - self._sure_at < SURE_SECONDS:
            return True
        try:
            before = await log.api.message_at(log.name, self._tail.sequence)
        except JetStreamError as error:
            logger.debug("what stands before the last message cannot be seen: %s", error)
            return False
        # The oldest messages are deleted when a backup has their events.
        if before is None or before.payload == self._tail.body:
            return True
        self._end("the log has lost its end, and another one has led since")
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
    """Whether a message may be in the log, now or soon, although storing it raised this error."""
    is_known = isinstance(error, JetStreamError)
    return not is_known or isinstance(error, UnansweredError | WrongSequenceError)


def leads_no_more(**details: str) -> Unavailable:
    """The refusal of commands by a leader that has ended."""
    return Unavailable(
        "this one leads the cluster no more",
        hint="try again, with the same command id",
        retry_after_ms=500,
        **details,
    )

"""`Follower`: a follower's side of the log. It applies frames in order, from its file's end to the log's.

    find where the file ends in the log ──▶ read and apply ──▶ at its end ──▶ wait for more
              ▲                                    │ anything odd      │ nothing for a second: ask for the end
              └────────────────────────────────────┴───────────────────┘

It keeps no cursor: the positions in the log and the hashes in the file say where it goes on.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import apsw
import msgspec
import nats.errors

from bus.log import chain
from bus.log.damage import Damage
from bus.replication.applying import TRANSACTION_EVENTS, Applier, NewerEventError
from bus.replication.frame import Frame, FrameError, Frames, Place, place_of
from bus.replication.log_stream import DivergedLogError, LogEnd, LogStream, LogStreamError, OutdatedFileError
from bus.transport.jetstream import JetStreamError
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.tasks import to_its_end
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.jetstream_answers import StoredMessage
from hyperpage_client.waiting import Trouble, is_set_within

# A replica may be late. It has what the log's leader has within this time, or something is wrong.
LATE_SECONDS = 10.0
LATE_PAUSE_SECONDS = 0.02
# How often the end of the log is asked for while nothing comes; nothing tells us when the stream is deleted.
LOOK_INTERVAL_MS = 1_000
FIRST_RETRY_MS = 50
LONGEST_RETRY_MS = 1_000
# The errors for which a member cannot lead until an operator does something.
NOT_TO_LEAD_WITH = (DivergedLogError, FrameError, NewerEventError)

logger = logging.getLogger(__name__)


class Reading:
    """The log being read into a file, by one task. `sequence` is that of the last message read."""

    def __init__(
        self,
        log: LogStream,
        applier: Applier,
        sequence: int,
        on_applied: Callable[[list[chain.Row]], None] | None = None,
    ) -> None:
        self._log = log
        self._applier = applier
        self._frames = Frames(log.name)
        self._on_applied = on_applied
        self.sequence = sequence
        # The place of that message; None before the first one.
        self._last: Place | None = None

    @classmethod
    async def begin(
        cls,
        log: LogStream,
        applier: Applier,
        end: LogEnd,
        on_applied: Callable[[list[chain.Row]], None] | None = None,
    ) -> Self:
        """A reading from the end of the file on, or of the log, if that is earlier: there, both are compared.

        Raises:
            EarlierTimelineError, LaterTimelineError: the log is of another timeline.
            FrameError, JetStreamError: it cannot be read.
        """
        applier.history.require_timeline(end.timeline)
        applier.last_answered = None
        first = await log.first_reaching(min(applier.head.position, end.position), end)
        return cls(log, applier, end.sequence if first is None else first - 1, on_applied)

    async def up_to(self, sequence: int) -> None:
        """Returns when everything up to a message of the log is in the file.

        Raises:
            LogStreamError, FrameError: the log does not lead on from the file's end, or cannot be read.
            JetStreamError: the broker does not answer, or lacks what it should have.
            apsw.Error: the file cannot be written.
        """
        until = time.monotonic() + LATE_SECONDS
        while self.sequence < sequence:
            messages = [one for one in await self._log.read(self.sequence + 1) if one.sequence <= sequence]
            if messages:
                await self._require_unbroken(place_of(self._log.name, messages[0]))
                await self._apply(messages)
                self.sequence = messages[-1].sequence
                self._last = place_of(self._log.name, messages[-1])
                until = time.monotonic() + LATE_SECONDS
            elif time.monotonic() > until:
                missing = self.sequence + 1
                raise JetStreamError(
                    f"message {missing} of {self._log.name} cannot be had, and it ends at {sequence}"
                )
            else:
                await asyncio.sleep(LATE_PAUSE_SECONDS)

    def is_of_another_log(self, end: LogEnd) -> bool:
        """Whether another log was read until now: this one ends earlier, or with another message."""
        if end.sequence != self.sequence or self._last is None or end.place is None:
            return end.sequence < self.sequence
        # All messages of a term are of one leader, which never stores two at one sequence.
        return end.place.term != self._last.term

    async def _require_unbroken(self, place: Place) -> None:
        """Refuses the next message, which has this place, if it does not follow the message read last.

        A broker that has lost the end of the log gives the same sequences to new messages, of another term.

        Raises:
            LogStreamError: it does not follow. JetStreamError: that cannot be seen.
        """
        if self._last is None or self._last.term == place.term:
            return
        message = await self._log.api.message_at(self._log.name, self.sequence)
        if message is None or place_of(self._log.name, message) != self._last:
            raise LogStreamError(
                f"the log has other messages than were read, from {self.sequence} on or before",
                "it is read again from where the file ends",
            )

    async def _apply(self, messages: Sequence[StoredMessage]) -> None:
        """Applies the frames that these messages complete, several in one transaction."""
        frames: list[Frame] = []
        events = 0
        try:
            for message in messages:
                frame = self._frames.take(message)
                if frame is None:
                    continue
                frames.append(frame)
                events += len(frame.rows)
                if events >= TRANSACTION_EVENTS:
                    together, frames, events = frames, [], 0
                    await self._carry_out(together)
        except FrameError:
            # The frames before it are sound.
            await self._carry_out(frames)
            raise
        await self._carry_out(frames)

    async def _carry_out(self, frames: Sequence[Frame]) -> None:
        if not frames:
            return
        try:
            rows = await to_its_end(lambda: self._applier.apply(frames))
        except NewerEventError:
            if len(frames) == 1:
                raise
            # The frames before the one with the event are sound.
            for frame in frames:
                await self._carry_out([frame])
            return
        if rows and self._on_applied is not None:
            self._on_applied(rows)


async def catch_up(log: LogStream, applier: Applier) -> LogEnd:
    """The end of the log, with everything up to there applied.

    Raises:
        What `Reading.begin` and `Reading.up_to` do.
    """
    end = await log.end()
    reading = await Reading.begin(log, applier, end)
    await reading.up_to(end.sequence)
    return end


class FollowerState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a follower is.

    `position` is that of its file's end, `log_position` that of the log's, as far as it is known.
    `age_ms` is how long ago it was known to have all that the log had; None: never since it began to follow,
    `follows_ms` ago.
    `problem` says why nothing comes now, `repair` what an operator can do, if there is anything.
    """

    position: int
    log_position: int | None
    age_ms: int | None
    follows_ms: int
    problem: str | None
    repair: str | None

    @property
    def healthy(self) -> bool:
        return self.problem is None

    @property
    def lag(self) -> int:
        """How many events are still to come, as far as it is known."""
        return max((self.log_position or 0) - self.position, 0)


class Follower:
    """Makes a file follow the log, for ever. All but `state` and `head` is called on the event loop's thread.

    `connection` is the relay user's, and reconnects for ever. `on_applied` is called with the rows that were
    added, on the event loop's thread, once they are on disk. `damage` notes errors of the file.
    """

    def __init__(
        self,
        connection: LeanClient,
        names: BusNames,
        store_id: str,
        applier: Applier,
        *,
        on_applied: Callable[[list[chain.Row]], None] | None = None,
        damage: Damage | None = None,
    ) -> None:
        self._connection = connection
        self._names = names
        self._log = LogStream(connection, names, store_id)
        self._applier = applier
        self._on_applied = on_applied
        self._damage = damage or Damage()
        self._stopped, self._news = asyncio.Event(), asyncio.Event()
        # The sequence of the last message that the broker announced.
        self._told = 0
        # Whether an error of `NOT_TO_LEAD_WITH` was met since the file last had all; None: not known yet.
        self.is_apart: bool | None = None
        self._log_position: int | None = None
        self._current_at: float | None = None
        self._began_at = time.monotonic()
        self._trouble = Trouble(
            f"following {names.log}", logger, first_pause_ms=FIRST_RETRY_MS, longest_pause_ms=LONGEST_RETRY_MS
        )

    @property
    def head(self) -> chain.Head:
        """Where the file ends, with all up to there on disk. Any thread may ask."""
        return self._applier.head

    @property
    def current_at(self) -> float | None:
        """When the file was last known to have all that the log had, on the monotonic clock.

        None: not since the start. Any thread may ask.
        """
        return self._current_at

    @property
    def state(self) -> FollowerState:
        """How far the follower is now. Any thread may ask."""
        current_at, now = self._current_at, time.monotonic()
        return FollowerState(
            position=self._applier.head.position,
            log_position=self._log_position,
            age_ms=None if current_at is None else int((now - current_at) * 1_000),
            follows_ms=int((now - self._began_at) * 1_000),
            problem=self._trouble.problem,
            repair=self._trouble.repair,
        )

    async def run(self) -> None:
        """Follows until `stop`. After an error, which `state` shows, it tries again.

        Raises:
            OutdatedFileError: the file has to be made anew first.
        """
        subscription = await self._connection.subscribe_direct(
            self._names.live(self._names.frames), handler=self._hear
        )
        try:
            while not self._stopped.is_set():
                try:
                    await self._follow()
                except OutdatedFileError:
                    raise
                except (LogStreamError, FrameError, JetStreamError, apsw.Error, TimeoutError) as error:
                    self._damage.note(error, "who follows the log")
                    if isinstance(error, NOT_TO_LEAD_WITH):
                        self.is_apart = True
                    self._trouble.failed(error)
                    await is_set_within(self._stopped, self._trouble.next_pause_ms())
        finally:
            try:
                await subscription.unsubscribe()
            except nats.errors.Error as error:
                logger.debug("the end of following was not told: %s", error)

    def stop(self) -> None:
        """Ends `run` once the frames being applied are in the file."""
        self._stopped.set()
        self._news.set()

    async def _follow(self) -> None:
        reading: Reading | None = None
        while not self._stopped.is_set():
            looked_at = time.monotonic()
            end = await self._log.end()
            self._log_position = end.position
            if reading is None or reading.is_of_another_log(end):
                # At the start, or if the stream was made anew, or has lost its end.
                reading = await Reading.begin(self._log, self._applier, end, self._on_applied)
            await reading.up_to(end.sequence)
            self._require_all_there(end)
            self._note_current(looked_at, end.position)
            await self._follow_news(reading, looked_at + LOOK_INTERVAL_MS / 1_000)

    async def _follow_news(self, reading: Reading, until: float) -> None:
        """Reads the messages that the broker announces, without asking for the log's end each time."""
        while (left := until - time.monotonic()) > 0 and not self._stopped.is_set():
            if await is_set_within(self._news, left * 1_000):
                self._news.clear()
                told_at = time.monotonic()
                if self._told > reading.sequence:
                    await reading.up_to(self._told)
                    self._note_current(told_at, self._applier.head.position)

    def _hear(self, _: str, __: str, headers: Mapping[str, str] | None, ___: bytes) -> None:
        sequence = (headers or {}).get("Nats-Sequence", "")
        if sequence.isascii() and sequence.isdigit():
            self._told = int(sequence)
            self._news.set()

    def _note_current(self, at: float, position: int) -> None:
        self._current_at, self._log_position = at, position
        self.is_apart = False
        self._trouble.recovered()

    def _require_all_there(self, end: LogEnd) -> None:
        position, known = self._applier.head.position, end.position
        if position > known:
            raise LogStreamError(
                f"the log ends at position {known}, and this file has {position}: the log has lost its end,"
                " or was not sent it yet",
                "the next leader puts it back, if its file has it",
            )

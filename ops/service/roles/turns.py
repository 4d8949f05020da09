"""`Turns`: following and leading on one store, one after the other, as the election decides.

    follow ──▶ stand ──▶ lead ──▶ follow
       ▲         └─ not elected ─────┘

The connection that writes belongs to the follower or to the leader, never to both.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import apsw

from bus.log.chain import Head
from bus.publishing.stream_state import DivergedError, position_reached, recorded_segments
from bus.replication.applying import Applier
from bus.replication.following import NOT_TO_LEAD_WITH, catch_up
from bus.replication.frame import FrameError
from bus.replication.log_stream import EarlierTimelineError, LogEnd, LogStream, LogStreamError
from bus.replication.putting_back import lacking_nothing
from bus.replication.replicating import HOLD_SECONDS, Replicator
from bus.replication.shared_backup import SharedBackups
from bus.replication.terms import Claim, Told, take_term
from bus.replication.trailing import Trailing
from hyperpage_client.contract.stream_metadata import highest_timeline
from hyperpage_client.tasks import cancel, settle, to_its_end, unbroken
from ops.parts import Role
from ops.service.errors import told
from ops.service.roles.following import Following, applier_on
from ops.service.roles.ground import Ground
from ops.service.roles.leadership import Leadership, leadership_on
from ops.service.roles.sharing import Sharing, sharing_trouble
from ops.service.roles.trimming import Trimming
from ops.store.led_terms import Led, forget_led, led_last, note_led

# How long commands that were taken may need to be answered before another member leads.
PAUSE_SECONDS = 5.0
# If the writer is at one group for longer than this, another member may lead; and how often it is checked.
STUCK_SECONDS = 3.0
LOOK_SECONDS = 0.5

logger = logging.getLogger(__name__)


class Turns:
    """The present role of the service, and the changes between roles. Used by one task at a time.

    `on_lead` and `on_rest` are those of the `Cluster`; `positions` gives the ends of its live members' files,
    `form` the format of frames that all members read.
    """

    def __init__(
        self,
        ground: Ground,
        connection: apsw.Connection,
        role: Role,
        *,
        on_lead: Callable[[], Awaitable[None]],
        on_rest: Callable[[], Awaitable[None]],
        positions: Callable[[], Awaitable[Iterable[int]]],
        form: Callable[[], int],
    ) -> None:
        self._positions = positions
        self._form = form
        self._on_lead = on_lead
        self._on_rest = on_rest
        self._ground = ground
        self._connection = connection
        self._role = role
        self._log = LogStream(ground.relay_connection, ground.names, ground.origin.store_id)
        self._applier: Applier | None = None
        self._stood_at = Head()
        self._following: Following | None = None
        self._leadership: Leadership | None = None
        self._replicator: Replicator | None = None
        self._is_apart = self._is_stuck = False
        self._trimming: asyncio.Task[None] | None = None
        self.sharing = sharing_trouble()
        self._is_paused = False
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def position(self) -> int:
        """The last position in the file."""
        return self._role.head.position

    @property
    def could_lead(self) -> bool:
        """Whether this member can lead next: its file agrees with the log, and its writer is not stuck."""
        if self._following is not None and (is_apart := self._following.follower.is_apart) is not None:
            self._is_apart = is_apart
        return not (self._is_apart or self._is_stuck)

    async def prepare(self) -> None:
        """Makes the log if there is none.

        Raises:
            ServiceError: the log is another store's, or cannot be kept as the settings say.
            JetStreamError: JetStream refuses, or does not answer.
        """
        try:
            await self._log.prepare(
                self._ground.settings.replication_replicas,
                timeline=self._ground.origin.timeline,
                position=self.position,
                limits=self._ground.settings.stream_limits.log,
            )
        except LogStreamError as error:
            raise told(error) from error

    async def follow(self) -> None:
        """Follows. A leader first answers the commands taken, and passes on those that came since `pause`."""
        try:
            await self._end_leading()
        finally:
            if self._leadership is None and self._following is None:
                self._following = Following(self._ground, self._connection)
                self._following.start()
                self._role.follow(self._following.follower)

    async def stand(self) -> None:
        """Stops following, with every event of the log in the file.

        Raises:
            ServiceError: the log does not continue the file.
            JetStreamError: the log cannot be read.
        """
        await unbroken(self._end_following())
        self._applier = applier_on(self._ground, self._connection)
        self._stood_at = self._applier.head
        try:
            await self._make_again(self._applier.head)
            await catch_up(self._log, self._applier)
            if self._applier.head != self._stood_at:
                await asyncio.to_thread(forget_led, self._ground.settings.data)
        except EarlierTimelineError:
            # This file was restored: a leader with it begins the log anew.
            return
        except (LogStreamError, FrameError) as error:
            self._is_apart = isinstance(error, NOT_TO_LEAD_WITH)
            raise told(error) from error
        finally:
            # The election compares this head with the positions of other members.
            self._role.rest(self._applier.head)

    async def _make_again(self, head: Head) -> None:
        """Makes a lost log again at the file's end, unless a live member's file has more events."""
        if await self._log.api.report(self._log.name) is None and head.position >= max(
            await self._positions(), default=0
        ):
            self._role.rest(head)
            await self.prepare()
            logger.warning("the log was gone, and is made again: it goes on at position %d", head.position)

    async def lead(self, may_lead: Callable[[], bool]) -> int:
        """Takes the next term, and gives its number; commands are served when this returns.

        Raises:
            LeaseLostError, ServiceError, JetStreamError, and errors of the parts: why it cannot lead.
        """
        assert self._applier is not None, "it stands before it leads"
        ground, trails = self._ground, self._ground.settings.log_trails
        claim = Claim(
            name=ground.settings.member_name,
            may_lead=may_lead,
            trails=trails,
            has_all=self._has_all,
            told=self._told,
            form=self._form(),
        )
        try:
            term = await take_term(self._log, self._applier, claim)
        except (LogStreamError, FrameError) as error:
            raise told(error) from error
        self._is_apart = False
        loop = asyncio.get_running_loop()
        self._ended = ended = loop.create_future()

        def note_end(why: str) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, ended, why)

        self._replicator = replicator = Replicator(
            ground.connect_relay,
            ground.names,
            term,
            on_end=note_end,
            hold_seconds=math.inf if trails else HOLD_SECONDS,
            form=self._form,
        )
        if trails:
            await asyncio.to_thread(note_led, ground.settings.data, Led(term.number, term.made_at))
            lacking = await to_its_end(partial(lacking_nothing, self._applier, term.number))
            trailing = Trailing(replicator, lacking, ground.readers.connection)
            self._leadership = leadership_on(ground, self._connection, trailing=trailing)
        else:
            self._leadership = leadership_on(ground, self._connection, replicator)
        await self._leadership.start()
        self._role.lead(self._leadership.leading)
        await unbroken(self._on_lead())
        await unbroken(self._leadership.let_commands_in())
        timeline, sharing = ground.origin.timeline, None
        if ground.settings.shared_backup_bytes:
            shared = SharedBackups(ground.relay_connection, ground.names, ground.origin.store_id)
            sharing = Sharing(ground.settings, self._log, shared, ground.readers, timeline, self.sharing)
        trimming = Trimming(ground.settings, self._log, ground.readers, timeline, self._positions, sharing)
        self._trimming = asyncio.create_task(trimming.run(), name="the trimming of the log")
        return term.number

    def _has_all(self, end: LogEnd) -> bool:
        """Whether the file has all answered events: it led up to this end of a log, and is unchanged."""
        is_as_it_was = self._applier is not None and self._applier.head == self._stood_at
        term = 0 if end.place is None else end.place.term
        return is_as_it_was and led_last(self._ground.settings.data) == Led(term, end.made_at)

    async def _told(self) -> Told:
        """The last position and timeline that subscribers and other members may have seen."""
        ground, name = self._ground, self._ground.names.events
        report = await self._log.api.report(name)
        timeline = position = 0
        if report is not None:
            timeline = highest_timeline(report.metadata)
            with suppress(DivergedError):
                last_sequence = report.state.last_seq
                segments = recorded_segments(name, ground.origin.store_id, report.metadata, last_sequence)
                position = position_reached(segments, last_sequence, ground.origin.timeline)
        return Told(position=max([position, *await self._positions()]), timeline=timeline)

    async def led_no_more(self) -> str:
        """Waits until the log ends this leader's term, or another member has published, and says why."""
        assert self._leadership is not None, "it leads"
        parted = asyncio.create_task(self._leadership.leading.relay.parted(), name="the events' history")
        try:
            either: set[asyncio.Future[Any]] = {self._ended, parted}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return self._ended.result() if self._ended.done() else str(parted.exception())
        finally:
            await cancel(parted)

    async def stuck(self) -> str:
        """Waits until this leader's writer has been stuck for too long, and says why.

        Waiting for the log does not count: another leader would wait for it, too.
        """
        assert self._leadership is not None
        assert self._replicator is not None
        leading, looks = self._leadership.leading, 0
        writer = leading.writer
        # Checks are counted, not seconds: the whole process may have stood still meanwhile.
        while looks * LOOK_SECONDS < STUCK_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            if not writer.is_alive:
                self._is_stuck = True
                return "its writer has ended"
            waits_for_log = leading.trailing is None and self._replicator.waits_since is not None
            if writer.stalled_seconds > LOOK_SECONDS and not waits_for_log:
                looks += 1
            else:
                looks, self._is_stuck = 0, False
        self._is_stuck = True
        return f"its writer has been at one group of commands, or one repair, for {STUCK_SECONDS:g} s"

    async def pause(self) -> None:
        """Takes no more commands, but keeps those that arrive; those taken are answered when this returns."""
        assert self._leadership is not None
        leading = self._leadership.leading
        self._is_paused = True
        await leading.intake.hold()
        # The next leader's consumer of durable commands replaces this one's.
        await leading.durable.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_SECONDS):
                while leading.writer.is_at_work:  # noqa: ASYNC110  # a moment, once
                    await asyncio.sleep(0.005)
        # With all events in the log, the next leader need not begin a timeline.
        await self._leadership.have_all_sent()

    async def stop(self) -> None:
        """Stops leading and following."""
        await self._end_leading()
        await self._end_following()

    async def _end_leading(self) -> None:
        trimming, self._trimming = self._trimming, None
        if trimming is not None:
            await cancel(trimming)
        leadership = self._leadership
        if leadership is None:
            return
        self._role.leave()
        try:
            await self._on_rest()
            if self._is_paused:
                await leadership.leading.intake.pass_on()
        finally:
            self._is_paused = False
            await leadership.stop()
            # Only now: a follower takes over the connection that the leader's writer used.
            self._leadership = None
            self._is_stuck = False
            self._role.rest()

    async def _end_following(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            await following.stop()
            self._role.rest()

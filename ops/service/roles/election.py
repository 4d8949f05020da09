"""A member's turns at leading: it follows, takes the lease when there is no leader, and leads while it may.

    follow ──▶ no leader ──▶ takes the lease ──▶ no member has more events ──▶ a term in the log ──▶ lead
      ▲                             │                       │ a member has                             │
      └──── releases it, to that ◀──┴───────────────────────┘         lost, fenced, or handed over ◀───┘

The lease only makes members try one at a time. The log alone keeps two members from leading at once
(`bus.replication.replicating`).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from bus.replication.cluster_bucket import ClusterBucket
from bus.replication.leader_watch import LeaderWatch
from bus.replication.lease import Lease, LeaseLostError
from bus.replication.members import Member, live_members
from bus.transport.jetstream import JetStreamError
from hyperpage_client.tasks import cancel, settle
from hyperpage_client.waiting import Trouble, is_set_within
from ops.service.errors import ServiceError

# The pause after a failed try, so that other members can try.
RETRY_MS = 500
# The longest pause between tries that fail until an operator acts.
LONGEST_RETRY_MS = 5_000
# How long commands are kept for a successor.
HANDING_OVER_SECONDS = 3.0
# How long a member that did not take over is not chosen again.
PASSED_OVER_SECONDS = 30.0
# How often a leader that is stuck looks for a successor.
LOOK_SECONDS = 1.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Roles(Protocol):
    """A store that follows or leads, one at a time; it follows when an election begins."""

    @property
    def position(self) -> int:
        """The last position in the file."""

    async def stand(self) -> None:
        """Stops following, with every event of the log in the file.

        It may be cancelled, and so may `lead`.

        Raises:
            ServiceError, JetStreamError: the file cannot get there.
        """

    async def lead(self, may_lead: Callable[[], bool]) -> int:
        """Takes the next term, if `may_lead` at that moment, and serves commands; gives the term's number.

        Raises:
            LeaseLostError, ServiceError, JetStreamError: the reason why this member cannot lead.
        """

    async def stuck(self) -> str:
        """Waits until this leader decides no commands any more, and says why."""

    async def pause(self) -> None:
        """Goes on leading, but decides no further commands; those taken are answered."""

    async def led_no_more(self) -> str:
        """Waits until the log ends this leader's term, and says why."""

    async def follow(self) -> None:
        """Stops leading, after answering the commands taken, and follows."""


class Election:
    """One member's part in the election; used by one task, in one event loop. `watch` runs beside it."""

    def __init__(
        self, bucket: ClusterBucket, watch: LeaderWatch, lease: Lease, roles: Roles, *, name: str
    ) -> None:
        self._bucket = bucket
        self._watch = watch
        self._lease = lease
        self._roles = roles
        self._name = name
        self._successor: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._has_ended = asyncio.Event()
        # The members that did not take over, by name, and until when they are not chosen.
        self._passed_over: dict[str, float] = {}
        self.is_leading = False
        # Why the last try to lead failed.
        self.trouble = Trouble(
            "taking the lead", logger, first_pause_ms=RETRY_MS, longest_pause_ms=LONGEST_RETRY_MS
        )

    async def run(self) -> None:
        """Follows and leads in turns until `stop`. It must not be cancelled, so that a turn ends in order."""
        try:
            while not self._stopping.is_set():
                await self._stand_once()
        finally:
            self._has_ended.set()

    async def stop(self) -> None:
        """Ends the election; returns when this member follows, and has released the lease."""
        self._stopping.set()
        await self._has_ended.wait()

    async def _stand_once(self) -> None:
        vacant = asyncio.create_task(self._watch.vacant(self._name), name="waiting for a vacancy")
        stopping = asyncio.create_task(self._stopping.wait(), name="waiting for the end")
        await asyncio.wait({vacant, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await cancel(vacant)
        await cancel(stopping)
        if self._stopping.is_set():
            return
        pause_ms = RETRY_MS
        try:
            if await self._lease.acquire(0):
                successor = await self._turn()
                if successor and not await self._is_taken():
                    self._passed_over[successor] = self._watch.clock() + PASSED_OVER_SECONDS
                return
        # After any error, this member follows, and another one may lead.
        except Exception as error:
            if not _is_expected(error):
                logger.warning("this member cannot lead", exc_info=error)
            self.trouble.failed(error)
            if isinstance(error, ServiceError):
                pause_ms = self.trouble.next_pause_ms()
        await is_set_within(self._stopping, pause_ms)

    def hand_over(self, successor: str) -> None:
        """Has this leader hand over to a successor."""
        settle(self._successor, successor)

    async def _turn(self) -> str:
        """Leads for as long as this member may, then releases the lease. The successor's name, or ""."""
        keeping = asyncio.create_task(self._lease.keep(), name="the lease")
        successor = ""
        try:
            await self._unless_over(keeping, self._roles.stand())
            if (first := await self._first_of_others()) is not None and first.position > self._roles.position:
                # The log has lost its last events, and that member has them.
                successor = first.name
                return successor
            term = await self._unless_over(keeping, self._roles.lead(lambda: self._lease.is_valid))
            await self._lease.tell(term)
            self.is_leading = True
            self.trouble.recovered()
            successor, is_stuck = await self._until_it_ends(keeping)
            self.is_leading = False
            if is_stuck:
                # Released before `follow`, which may wait for a disk.
                await self._lease.release(successor)
            elif successor:
                await self._leave_to(successor)
            # The lease is still held, so the commands taken can be answered.
            await self._roles.follow()
        except _StoppedError:
            pass
        finally:
            self.is_leading = False
            await cancel(keeping)
            with suppress(JetStreamError, LeaseLostError):
                await self._lease.release(successor)
            await self._roles.follow()
        return successor

    async def _unless_over(self, keeping: "asyncio.Task[None]", work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled if the lease is lost or the election is stopped meanwhile.

        Raises:
            LeaseLostError: the lease was lost.
            _StoppedError: the election is stopped.
            Any error of `work`.
        """
        working = asyncio.create_task(work, name="the way to leading")
        stopping = asyncio.create_task(self._stopping.wait(), name="waiting for the end")
        either: set[asyncio.Future[Any]] = {working, keeping, stopping}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
            if stopping.done():
                raise _StoppedError
            return working.result()
        finally:
            await cancel(working)
            await cancel(stopping)

    async def _leave_to(self, successor: str) -> None:
        """Hands over to a successor, which gets the commands that arrive meanwhile."""
        await self._roles.pause()
        await self._lease.release(successor)
        await self._led_by(successor)

    async def _led_by(self, successor: str) -> None:
        """Returns when the successor leads, or its time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HANDING_OVER_SECONDS):
                while (leader := self._watch.leader) is None or leader.name != successor or not leader.term:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

    async def _is_taken(self) -> bool:
        """Whether another member takes the lead over before this one may try again."""
        while not self._watch.is_vacant_for(self._name):
            leader = self._watch.leader
            if self._stopping.is_set() or (leader and leader.term and leader.name != self._name):
                return True
            await asyncio.sleep(0.05)
        return False

    async def _first_of_others(self) -> Member | None:
        """The other live member with most events that could lead, and was not passed over lately."""
        now = self._watch.clock()
        others = [
            one.member
            for one in await live_members(self._bucket)
            if one.member.is_candidate
            and one.member.name != self._name
            and self._passed_over.get(one.member.name, now) <= now
        ]
        return max(others, key=lambda one: one.position, default=None)

    async def _first_while_stuck(self) -> str:
        """Waits until this leader is stuck and another member could lead; that member's name."""
        while True:
            why = await self._roles.stuck()
            with suppress(JetStreamError):
                if (first := await self._first_of_others()) is not None:
                    logger.warning("this member leads no more: %s", why)
                    return first.name
            await asyncio.sleep(LOOK_SECONDS)

    async def _until_it_ends(self, keeping: "asyncio.Task[None]") -> tuple[str, bool]:
        """Waits for the end of a turn; the successor's name, or "", and whether this member is stuck."""
        self._successor = asyncio.get_running_loop().create_future()
        stuck = asyncio.create_task(self._first_while_stuck(), name="the look at the writer")
        fenced = asyncio.create_task(self._roles.led_no_more(), name="the end of a term")
        stopping = asyncio.create_task(self._stopping.wait(), name="waiting for the end")
        either: set[asyncio.Future[Any]] = {keeping, stuck, fenced, stopping, self._successor}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(stuck)
            await cancel(fenced)
            await cancel(stopping)
        if keeping.done():
            logger.warning("this member leads no more: %s", keeping.exception())
        elif not stuck.cancelled():
            return stuck.result(), True
        if self._successor.done():
            return self._successor.result(), False
        if self._stopping.is_set() and not keeping.done():
            # A named successor need not wait until it notices that this member is gone.
            with suppress(JetStreamError):
                first = await self._first_of_others()
                return "" if first is None else first.name, False
        return "", False


class _StoppedError(Exception):
    """The election is stopped."""


def _is_expected(error: Exception) -> bool:
    return isinstance(error, JetStreamError | LeaseLostError | ServiceError)

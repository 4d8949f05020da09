"""A member's turns at leading: it follows, has the lease when nobody leads, and leads for as long as it may.

    follow ──▶ nobody leads ──▶ the lease is ours ──▶ nobody has more ──▶ a term in the log ──▶ lead
      ▲                              │                     │ somebody has                        │
      └──── given up, to them ◀──────┴─────────────────────┘    lost, fenced, or handed over ◀───┘

The lease has one try at a time. What keeps two from leading is the log alone (`bus.replication.replicating`).
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
from hyperpage_client.tasks import cancel
from hyperpage_client.waiting import Trouble, is_set_within
from ops.service.errors import ServiceError

# After a try that failed, so that others have theirs.
RETRY_MS = 500
# The longest pause after one that will fail again until somebody does something.
LONGEST_RETRY_MS = 5_000
# How long commands are kept for a successor.
HANDING_OVER_SECONDS = 3.0
# How long nothing is left to a member that did not take it.
PASSED_OVER_SECONDS = 30.0
# How often a leader that stands still looks for somebody else.
LOOK_SECONDS = 1.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Roles(Protocol):
    """What follows or leads, one at a time; it follows when an election begins."""

    @property
    def position(self) -> int:
        """Where the file ends."""

    async def stand(self) -> None:
        """Follows no more, with everything in the file that the log has.

        It may be cancelled, and so may `lead`.

        Raises:
            ServiceError, JetStreamError: it cannot be.
        """

    async def lead(self, may_lead: Callable[[], bool]) -> int:
        """Takes the next term, if it may at that moment, and serves; the term's number.

        Raises:
            LeaseLostError, ServiceError, JetStreamError: what keeps it from it.
        """

    async def stuck(self) -> str:
        """Waits until this one, which leads, decides nothing any more, and answers why."""

    async def pause(self) -> None:
        """Leads on, but decides nothing that comes from now on; what was taken is answered."""

    async def led_no_more(self) -> str:
        """Waits until this one leads no more, as the log says, and answers why."""

    async def follow(self) -> None:
        """Leads no more: what was taken is answered, and it follows."""


class Election:
    """One member's part in who leads; used by one task, in one event loop. `watch` runs beside it."""

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
        # Whom nothing is left to for a while, by name, and until when.
        self._passed_over: dict[str, float] = {}
        self.is_leading = False
        # What kept it from leading the last time that it tried.
        self.trouble = Trouble(
            "taking the lead", logger, first_pause_ms=RETRY_MS, longest_pause_ms=LONGEST_RETRY_MS
        )

    async def run(self) -> None:
        """Follows and leads in turns until `stop`. Not to be cancelled before: a turn ends in order."""
        try:
            while not self._stopping.is_set():
                await self._stand_once()
        finally:
            self._has_ended.set()

    async def stop(self) -> None:
        """Returns when this one follows, and has left the lease to others."""
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
        # Whatever keeps it from leading: it follows, and others may do better.
        except Exception as error:
            if not _is_expected(error):
                logger.warning("this member cannot lead", exc_info=error)
            self.trouble.failed(error)
            if isinstance(error, ServiceError):
                pause_ms = self.trouble.next_pause_ms()
        await is_set_within(self._stopping, pause_ms)

    def hand_over(self, successor: str) -> None:
        """Has this one, which leads, leave it to another one."""
        if not self._successor.done():
            self._successor.set_result(successor)

    async def _turn(self) -> str:
        """Leads, with the lease, for as long as it may; it is given up in any case: to that one, if any."""
        keeping = asyncio.create_task(self._lease.keep(), name="the lease")
        successor = ""
        try:
            await self._unless_over(keeping, self._roles.stand())
            if (first := await self._first_of_others()) is not None and first.position > self._roles.position:
                # The log has lost its end, and that one has it.
                successor = first.name
                return successor
            term = await self._unless_over(keeping, self._roles.lead(lambda: self._lease.is_valid))
            await self._lease.tell(term)
            self.is_leading = True
            self.trouble.recovered()
            successor, is_stuck = await self._until_it_ends(keeping)
            self.is_leading = False
            if is_stuck:
                # First of all: its end may wait for a disk.
                await self._lease.release(successor)
            elif successor:
                await self._leave_to(successor)
            # While the lease is held still, what was taken can be answered.
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
        """The result of `work`, which is given up where the lease is lost meanwhile, or this one is to end.

        Raises:
            LeaseLostError: it was lost. _StoppedError: it is to end. And what `work` raises.
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
        """Has another one lead, which gets what comes meanwhile."""
        await self._roles.pause()
        await self._lease.release(successor)
        await self._led_by(successor)

    async def _led_by(self, successor: str) -> None:
        """Returns when that one leads, or has had its time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HANDING_OVER_SECONDS):
                while (leader := self._watch.leader) is None or leader.name != successor or not leader.term:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

    async def _is_taken(self) -> bool:
        """Whether another one leads, to whom this one has left it, before this one may try again."""
        while not self._watch.is_vacant_for(self._name):
            leader = self._watch.leader
            if self._stopping.is_set() or (leader and leader.term and leader.name != self._name):
                return True
            await asyncio.sleep(0.05)
        return False

    async def _first_of_others(self) -> Member | None:
        """The live member that has the most events, of those that could lead, and did when they were to."""
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
        """Who could go on, once this one, which leads, decides nothing and there is somebody."""
        while True:
            why = await self._roles.stuck()
            with suppress(JetStreamError):
                if (first := await self._first_of_others()) is not None:
                    logger.warning("this member leads no more: %s", why)
                    return first.name
            await asyncio.sleep(LOOK_SECONDS)

    async def _until_it_ends(self, keeping: "asyncio.Task[None]") -> tuple[str, bool]:
        """Whom to leave the lease to, once this turn has ended, and whether that is since it stands still."""
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
            # Nobody need wait until it is noticed that this one is gone.
            with suppress(JetStreamError):
                first = await self._first_of_others()
                return "" if first is None else first.name, False
        return "", False


class _StoppedError(Exception):
    """This one is to end."""


def _is_expected(error: Exception) -> bool:
    return isinstance(error, JetStreamError | LeaseLostError | ServiceError)

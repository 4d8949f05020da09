"""A member's turns at leading: it follows, has the lease when nobody leads, and leads for as long as it may.

    follow ──▶ nobody leads ──▶ the lease is ours ──▶ nobody has more ──▶ a term in the log ──▶ lead
      ▲                              │                     │ somebody has                        │
      └──── given up, to them ◀──────┴─────────────────────┘    lost, fenced, or handed over ◀───┘

The lease has one try at a time. What keeps two from leading is the log alone (`bus.replication.replicating`).
"""

import asyncio
import logging
from contextlib import suppress
from typing import Any, Protocol

from bus.replication.cluster_bucket import ClusterBucket
from bus.replication.leader_watch import LeaderWatch
from bus.replication.lease import Lease, LeaseLostError
from bus.replication.members import Member, Role, live_members
from bus.tasks import cancel
from bus.transport.jetstream import JetStreamError
from bus.waiting import Trouble, is_set_within
from ops.service.errors import ServiceError

# After a try that failed, so that others have theirs.
RETRY_MS = 500
# The longest pause after one that will fail again until somebody does something.
LONGEST_RETRY_MS = 5_000
# How long commands are kept for a successor.
HANDING_OVER_SECONDS = 3.0

logger = logging.getLogger(__name__)


class Roles(Protocol):
    """What follows or leads, one at a time; it follows when an election begins."""

    @property
    def position(self) -> int:
        """Where the file ends."""

    async def stand(self) -> None:
        """Follows no more, with everything in the file that the log has.

        Raises:
            ServiceError, JetStreamError: it cannot be.
        """

    async def lead(self) -> int:
        """Takes the next term, whose number this is, and serves.

        Raises:
            ServiceError, JetStreamError: what keeps it from it.
        """

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
                await self._turn()
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

    async def _turn(self) -> None:
        """Leads, with the lease, for as long as it may; it is given up in any case."""
        keeping = asyncio.create_task(self._lease.keep(), name="the lease")
        successor = ""
        try:
            await self._roles.stand()
            if (first := await self._first_of_others()) is not None and first.position > self._roles.position:
                # The log has lost its end, and that one has it.
                successor = first.name
                return
            term = await self._roles.lead()
            await self._lease.tell(term)
            self.is_leading = True
            self.trouble.recovered()
            successor = await self._until_it_ends(keeping)
            self.is_leading = False
            if successor:
                await self._leave_to(successor)
            # While the lease is held still, what was taken can be answered.
            await self._roles.follow()
        finally:
            self.is_leading = False
            await cancel(keeping)
            with suppress(JetStreamError, LeaseLostError):
                await self._lease.release(successor)
            await self._roles.follow()

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

    async def _first_of_others(self) -> Member | None:
        """The live member that has the most events, of those that may lead."""
        others = [
            one.member
            for one in await live_members(self._bucket)
            if one.member.role is not Role.FOLLOWER and one.member.name != self._name
        ]
        return max(others, key=lambda one: one.position, default=None)

    async def _until_it_ends(self, keeping: "asyncio.Task[None]") -> str:
        """Whom to leave the lease to, once this turn has ended."""
        self._successor = asyncio.get_running_loop().create_future()
        fenced = asyncio.create_task(self._roles.led_no_more(), name="the end of a term")
        stopping = asyncio.create_task(self._stopping.wait(), name="waiting for the end")
        either: set[asyncio.Future[Any]] = {keeping, fenced, stopping, self._successor}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(fenced)
            await cancel(stopping)
        if keeping.done():
            logger.warning("this member leads no more: %s", keeping.exception())
        if self._successor.done():
            return self._successor.result()
        if self._stopping.is_set() and not keeping.done():
            # Nobody need wait until it is noticed that this one is gone.
            with suppress(JetStreamError):
                first = await self._first_of_others()
                return "" if first is None else first.name
        return ""


def _is_expected(error: Exception) -> bool:
    return isinstance(error, JetStreamError | LeaseLostError | ServiceError)

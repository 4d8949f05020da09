"""`Cluster`: a service as a member of a cluster, whose members follow one log.

start  checks that log and bucket are this store's ─▶ follows ─▶ is a member ─▶ leads, or knows the leader
stop   is no member any more ─▶ stops leading, and releases the lease ─▶ stops following
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from bus.kept_files import write_private
from bus.replication.cluster_bucket import ClusterBucket, ClusterError
from bus.replication.frame import FORMAT
from bus.replication.leader_watch import Leader, LeaderWatch
from bus.replication.lease import Lease
from bus.replication.log_stream import LogStreamError
from bus.replication.members import HandOver, Member, Membership, live_members, require_successor
from bus.replication.members import Role as MemberRole
from bus.replication.standing import Standing
from bus.serving.administration import AdministrationVerb
from bus.transport.jetstream import JetStreamError
from domain.counting import counted
from domain.errors import RuleViolated, Unavailable
from ops.parts import Role
from ops.service.background import Background
from ops.service.errors import ServiceError, told
from ops.service.roles.election import Election
from ops.service.roles.getting_ready import when_it_answers
from ops.service.roles.ground import Ground
from ops.service.roles.turns import Turns
from ops.service.steady_clock import ticks_ms
from ops.store.data_directory import kept_key

# How long a start waits for a leader; after that, health reports that there is none.
LED_WITHIN_SECONDS = 15.0
# How many events a successor may lack; with more, clients would wait until it has caught up.
MOST_BEHIND = 1_000
HANDED_OVER_WITHIN_SECONDS = 10.0
# By how much the log may trail before a hand-over. It trails by more only if it stores nothing.
NEAR_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Cluster:
    """This service as a member; `address` is the address of its HTTP API. Used in one event loop.

    `on_lead` is called when this member begins to lead, and starts to answer the requests to a leader;
    `on_rest` is called before it stops leading.
    """

    def __init__(
        self,
        ground: Ground,
        connection: apsw.Connection,
        role: Role,
        *,
        instance: str,
        address: str,
        on_lead: Callable[[], Awaitable[None]],
        on_rest: Callable[[], Awaitable[None]],
    ) -> None:
        self._ground = ground
        self._role = role
        self._instance = instance
        self._address = address
        self._name = ground.settings.member_name
        self._may_lead = not ground.settings.only_follows
        self._turns = Turns(
            ground,
            connection,
            role,
            on_lead=on_lead,
            on_rest=on_rest,
            positions=self._positions,
            form=lambda: self.standing.common.form,
        )
        self._bucket = ClusterBucket(ground.relay_connection, ground.names)
        self._watch = LeaderWatch(self._bucket, on_change=self._note_leader, clock=_seconds)
        self.standing = Standing(
            ground.relay_connection,
            ground.names,
            self._bucket,
            self._watch,
            name=self._name,
            clock=_seconds,
        )
        self._lease = Lease(self._bucket, self._watch, name=self._name, instance=instance, address=address)
        self._election: Election | None = None
        self._membership = Membership(self._bucket, self._described)
        self._is_led = asyncio.Event()
        self._stack = AsyncExitStack()
        self._background: Background = ground.background.ended_by(self._stack)

    @property
    def leader(self) -> Leader | None:
        """The leader, as far as this member knows. Any thread may call it."""
        return self._watch.leader

    def leaders_address(self) -> str | None:
        """The address of the leader's HTTP API, or else its name; `None` if no leader is known."""
        leader = self._watch.leader
        return None if leader is None else leader.address or leader.name

    async def start(self) -> None:
        """Joins the cluster. When this returns, the member follows, or leads if it may and no other one does.

        If it raises, `stop` undoes the start.

        Raises:
            ServiceError: the service cannot be a member as it is; the message says why.
            JetStreamError: JetStream refuses, or does not answer.
        """
        ground = self._ground
        self._stack.push_async_callback(self._turns.stop)
        try:
            if self._may_lead:
                await when_it_answers(self._turns.prepare)
            # A member that only follows does not decide how many copies there are.
            replicas = ground.settings.replication_replicas if self._may_lead else 1
            store_id = ground.origin.store_id
            await when_it_answers(partial(self._bucket.prepare, store_id=store_id, replicas=replicas))
            await when_it_answers(self._membership.join)
        except (ClusterError, LogStreamError) as error:
            raise told(error) from error
        await self._turns.follow()
        self._background.start(self._membership.run(), "telling others of this member")
        self._background.start(self._watch.run(), "the watch over who leads")
        self._background.start(self.standing.run(), "the look at the cluster")
        if not self._may_lead:
            # A member that only follows can answer queries without a leader.
            return
        self._election = Election(self._bucket, self._watch, self._lease, self._turns, name=self._name)
        self.standing.trouble, self.standing.sharing = self._election.trouble, self._turns.sharing
        ground.standing_alone.rests_on(lambda: self._lease.is_valid)
        self._background.start(self._election.run(), "the election")
        self._stack.push_async_callback(self._election.stop)
        try:
            async with asyncio.timeout(LED_WITHIN_SECONDS):
                await self._is_led.wait()
        except TimeoutError:
            logger.warning("nobody leads the cluster yet")

    async def stop(self) -> None:
        """Leaves the cluster, and the lead to another member."""
        # Leaves first, so that members that stop together do not choose each other as successors.
        await self._membership.leave()
        await self._stack.aclose()

    async def agreed_key(self, file: Path) -> bytes:
        """The key that all members keep in a file of this name: the one that was put into the bucket first.

        It is written to this member's file.

        Raises:
            JetStreamError: the bucket does not answer.
        """
        own = kept_key(file).hex().encode()
        agreed = await self._bucket.agreed(f"agreed.{file.stem}", own)
        if agreed != own:
            write_private(file, agreed + b"\n")
        return bytes.fromhex(agreed.decode())

    async def _positions(self) -> list[int]:
        return [one.member.position for one in await live_members(self._bucket)]

    async def hand_over(self, successor: str = "") -> Leader:
        """Hands the lead to a member, and returns it once it leads; by default, the one with most events.

        Raises:
            ClusterError: the member cannot lead next.
            ServiceError: this member does not lead, or the other one did not take over.
            JetStreamError: the bucket does not answer.
        """
        before = self._watch.leader
        if self._election is None or not self._election.is_leading or before is None:
            raise ServiceError("this member does not lead", hint="ask the one that does")
        if successor == self._name:
            return before
        successor = require_successor(
            [one for one in await live_members(self._bucket) if one.member.name != self._name],
            successor,
            position=self._role.head.position,
            most_behind=MOST_BEHIND,
        ).name
        await self._require_sending()
        self._election.hand_over(successor)
        until = time.monotonic() + HANDED_OVER_WITHIN_SECONDS
        while time.monotonic() < until:
            leader = self._watch.leader
            if leader is not None and leader.term > before.term:
                if leader.name == successor:
                    return leader
                break
            await asyncio.sleep(0.01)
        raise ServiceError(
            f"{successor} has not taken over",
            hint="`hyperpage cluster status` says who leads, and who is live",
        )

    async def _require_sending(self) -> None:
        """Returns once a trailing log is near its end: events that it lacks would be lost.

        Raises:
            ServiceError: the log does not catch up in time.
        """
        leading = self._role.leading
        trailing = None if leading is None else leading.trailing
        until = time.monotonic() + HANDED_OVER_WITHIN_SECONDS
        while trailing is not None and trailing.state.lag_seconds > NEAR_SECONDS:
            if time.monotonic() > until:
                raise ServiceError(
                    f"the log lacks {counted(trailing.state.lag_events, 'answered event')}",
                    hint="hand over once it has them: `hyperpage status` says what keeps it from that",
                )
            await asyncio.sleep(0.05)

    def _note_leader(self, leader: Leader | None) -> None:
        self.standing.note_leader(leader)
        if leader is not None and leader.term > 0:
            self._is_led.set()

    def _described(self) -> Member:
        head, leading = self._role.head, self._role.leading
        lag = None if leading is None or leading.trailing is None else leading.trailing.state
        return Member(
            name=self._name,
            instance=self._instance,
            role=MemberRole(self._role.name),
            position=head.position,
            hash=head.hash.hex(),
            version=self._ground.version,
            address=self._address,
            time_ms=self._ground.now_ms(),
            could_lead=self._turns.could_lead,
            log_lag_events=None if lag is None else lag.lag_events,
            log_lag_seconds=None if lag is None else round(lag.lag_seconds, 1),
            reads=FORMAT,
        )


def hand_over_verb(cluster: Cluster | None, role: Role) -> AdministrationVerb:
    """The request by which an operator hands the lead over. It is answered when the other member leads."""

    async def hand_over(request: HandOver) -> dict[str, Any]:
        if cluster is None:
            raise RuleViolated(
                "no_cluster",
                "this service is not one of several",
                hint="docs/cluster.md says how it becomes one",
            )
        role.require_leading()
        try:
            leader = await cluster.hand_over(request.to)
        except ClusterError as error:
            raise RuleViolated("no_successor", error.problem, hint=error.repair) from error
        except ServiceError as error:
            raise Unavailable(str(error), hint=error.hint) from error
        except JetStreamError as error:
            raise Unavailable(f"the members cannot be seen: {error.problem}", hint="try again") from error
        return {"leader": leader.name, "term": leader.term, "address": leader.address}

    return AdministrationVerb(name="cluster.hand_over", shape=HandOver, carry_out=hand_over)


def _seconds() -> float:
    return ticks_ms() / 1_000

"""`Standing`: the state of a cluster, as a member sees it: who leads, who is live, how the log is kept.

    Standing.run ── a look, every other second ──▶ `state`, from memory

Nothing is decided by this state: it is for people and for monitoring.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from bus.replication.cluster_bucket import ClusterBucket
from bus.replication.leader_watch import Leader, LeaderWatch
from bus.replication.members import CommonForm, LiveMember, live_members
from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.jetstream_answers import StreamCopy, StreamReport
from hyperpage_client.waiting import UNTRIED, Trouble

LOOK_SECONDS = 2.0
# A copy of the log whose nats-server was not heard of for longer counts as away. It is heard of each second.
COPY_SILENT_SECONDS = 5.0

logger = logging.getLogger(__name__)


class LogCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A nats-server that keeps the log; `lag` is how many messages it still lacks."""

    server: str
    leads: bool
    available: bool
    lag: int


class LogStanding(msgspec.Struct, frozen=True, kw_only=True):
    """The stream of the log: its size, and the nats-servers that keep it. `limit_bytes` is None without one.

    `replicas` is how many copies there are to be; `quorum` of them have to be available to store anything.
    `copies` are empty if the nats-server is no cluster.
    """

    stream: str
    messages: int
    size_bytes: int
    limit_bytes: int | None
    replicas: int
    quorum: int
    available: int
    copies: list[LogCopy]

    @property
    def has_quorum(self) -> bool:
        """Whether the stream can store messages, as its leader sees it."""
        return self.available >= self.quorum


class ClusterState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the cluster, as far as a member knows it.

    `leader` is None while no member is known to lead, for `leaderless_seconds` by now. `leader_changes`
    counts how often another member led than before, since the start. `members` and `log` are as old as
    `looked_seconds_ago`; None: they were never seen. `problem` says why the last look failed.
    `kept_from_leading` says why this member could not lead the last time that it tried, `repair` what to do.
    `not_shared` says why this member kept no backup on the nats-servers for new ones when it led last.
    """

    name: str
    leader: Leader | None
    leaderless_seconds: float
    leader_changes: int
    members: list[LiveMember]
    log: LogStanding | None
    looked_seconds_ago: float | None
    problem: str | None
    kept_from_leading: str | None = None
    repair: str | None = None
    not_shared: str | None = None
    sharing_repair: str | None = None


class Standing:
    """Looks at a cluster again and again. `state` may be asked by any thread; the rest by the event loop.

    `note_leader` has to be called with each change that `watch` sees. `clock` counts seconds, from any
    moment.
    """

    def __init__(
        self,
        connection: LeanClient,
        names: BusNames,
        bucket: ClusterBucket,
        watch: LeaderWatch,
        *,
        name: str,
        clock: Callable[[], float],
    ) -> None:
        self._api = JetStreamApi(connection)
        self._stream = names.log
        self._bucket = bucket
        self._watch = watch
        self._name = name
        self._clock = clock
        self._members: list[LiveMember] = []
        # The form of frames that a leader writes.
        self.common = CommonForm(clock)
        self._log: LogStanding | None = None
        self._looked_at: float | None = None
        self._problem: str | None = None
        self._last_leader: str | None = None
        self._leader_changes = 0
        self._leaderless_since = clock()
        self._is_led = False
        # Why this member does not lead, although it may.
        self.trouble: Trouble | None = None
        # Why this member keeps no backup on the nats-servers for new members.
        self.sharing: Trouble | None = None

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Looks once; what cannot be seen stays as it was."""
        try:
            self._members = await live_members(self._bucket)
            self.common.note(self._members)
            report = await self._api.report(self._stream)
        except JetStreamError as error:
            logger.debug("the cluster cannot be looked at: %s", error)
            self._problem = error.problem
            return
        if report is None:
            self._problem = f"there is no stream {self._stream}"
            return
        self._log = log_standing(self._stream, report)
        self._looked_at, self._problem = self._clock(), None

    def note_leader(self, leader: Leader | None) -> None:
        """Notes the member that leads from now on; None: no member does."""
        is_led = leader is not None and leader.term > 0
        if self._is_led and not is_led:
            self._leaderless_since = self._clock()
        self._is_led = is_led
        if leader is not None and is_led and leader.name != self._last_leader:
            self._leader_changes += self._last_leader is not None
            self._last_leader = leader.name

    @property
    def state(self) -> ClusterState:
        """The state of the cluster now."""
        now, leaderless_seconds = self._clock(), self._leaderless_seconds()
        looked_at, trouble = self._looked_at, self.trouble
        return ClusterState(
            name=self._name,
            leader=None if leaderless_seconds else self._watch.leader,
            leaderless_seconds=leaderless_seconds,
            leader_changes=self._leader_changes,
            members=self._members,
            log=self._log,
            looked_seconds_ago=None if looked_at is None else now - looked_at,
            problem=self._problem,
            kept_from_leading=_problem_of(trouble),
            repair=None if trouble is None else trouble.repair,
            not_shared=_problem_of(self.sharing),
            sharing_repair=None if self.sharing is None else self.sharing.repair,
        )

    def _leaderless_seconds(self) -> float:
        if not self._is_led:
            # Never 0, which says that a member leads.
            return max(self._clock() - self._leaderless_since, 0.001)
        # While nothing can be stored in the bucket, it does not tell that a lease has ended, either.
        silent = self._watch.silent_seconds
        return silent if silent > self._watch.life.seconds else 0.0


def _problem_of(trouble: Trouble | None) -> str | None:
    return None if trouble is None or trouble.problem == UNTRIED else trouble.problem


def log_standing(stream: str, report: StreamReport) -> LogStanding:
    """The standing of the log, by JetStream's report of its stream."""
    config, counts, cluster = report.config, report.state, report.cluster
    limit_bytes, replicas = config.get("max_bytes", -1), config.get("num_replicas", 1)
    copies = [
        LogCopy(server=copy.name, leads=False, available=_is_there(copy), lag=copy.lag)
        for copy in (cluster.replicas if cluster is not None else None) or ()
    ]
    if cluster is not None and cluster.leader:
        copies.append(LogCopy(server=cluster.leader, leads=True, available=True, lag=0))
    return LogStanding(
        stream=stream,
        messages=counts.messages,
        size_bytes=counts.bytes,
        limit_bytes=limit_bytes if limit_bytes > 0 else None,
        replicas=replicas,
        quorum=replicas // 2 + 1,
        available=1 if cluster is None else sum(copy.available for copy in copies),
        copies=sorted(copies, key=lambda one: one.server),
    )


def _is_there(copy: StreamCopy) -> bool:
    # A new leader of the stream gives 0 as the silence of a copy that it has not heard of yet, and also of
    # one that it has just heard of.
    has_spoken = copy.current or copy.silent_ns > 0
    return has_spoken and not copy.offline and copy.silent_ns < COPY_SILENT_SECONDS * 10**9

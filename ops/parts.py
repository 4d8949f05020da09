"""The running parts of a service, as health, metrics, HTTP and the console see them."""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from bus.broker.server import NatsServer
from bus.log.chain import Head
from bus.log.cloud_events import Origin
from bus.log.reader_pool import ReaderPool
from bus.publishing.mirrors import Mirrors
from bus.publishing.relay import Relay
from bus.replication.following import Follower
from bus.replication.standing import Standing
from bus.replication.trailing import Trailing
from bus.serving.administration import Administration, AdministrationVerb
from bus.serving.audit import Act
from bus.serving.dead_letters import DeadLetters
from bus.serving.discovery import Endpoint
from bus.serving.durable.intake import DurableIntake
from bus.serving.intake import Intake
from bus.serving.queries.answering import Queries
from bus.serving.queries.reading import QueryVerb
from bus.writing.writer import Writer
from domain.errors import Unavailable
from domain.jobs.workers import SeenWorker
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from ops.archive.archiver import Archiver
from ops.audit.let_through import LetThrough
from ops.audit.recorder import Recorder
from ops.backup.schedule import BackupSchedule
from ops.security.sharing import SharedUse
from ops.settings import Settings
from ops.store.projections_check import ProjectionsCheck


class Leading(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The parts that only a leader has: they decide commands, and publish their events.

    `verbs` are the administrative requests that only a leader carries out. `trailing` is there if other
    members follow, and commands are answered before these have their events.
    """

    writer: Writer
    relay: Relay
    mirrors: Mirrors
    archiver: Archiver
    dead_letters: DeadLetters
    intake: Intake
    durable: DurableIntake
    projections: ProjectionsCheck
    verbs: Mapping[str, AdministrationVerb] = {}
    trailing: Trailing | None = None


RoleName = Literal["leader", "member", "follower"]


class Role:
    """The role of a service now. It changes while the service runs, so callers must read it anew each time.

    At most one of `leading` and `follower` is set; neither while the service changes between them.
    `otherwise` is its name while it does not lead. `leader` answers with the leader's address, as far as it
    is known. The event loop's thread sets the role; any thread may read it.

    A service that `is_leaving` no longer leads, but still publishes what it has written; its writer ends
    first.
    """

    def __init__(self, head: Head, otherwise: RoleName = "member") -> None:
        self.leading: Leading | None = None
        self.follower: Follower | None = None
        self.leader: Callable[[], str | None] = lambda: None
        self.is_leaving = False
        self._otherwise = otherwise
        self._head = head

    def lead(self, leading: Leading) -> None:
        """The service leads from now on."""
        self.leading, self.follower = leading, None

    def leave(self) -> None:
        """The service is about to stop leading."""
        self.is_leaving = True

    def follow(self, follower: Follower) -> None:
        """The service follows from now on."""
        self.rest()
        self.follower = follower

    def rest(self, head: Head | None = None) -> None:
        """The service neither leads nor follows now; its file ends at `head`, or where it ended before."""
        self._head = self.head if head is None else head
        self.leading = self.follower = None
        self.is_leaving = False

    @property
    def name(self) -> RoleName:
        """The name of the role."""
        return self._otherwise if self.leading is None else "leader"

    @property
    def head(self) -> Head:
        """The end of the log, as far as this service has it on disk."""
        if (leading := self.leading) is not None:
            return leading.writer.head
        return self._head if (follower := self.follower) is None else follower.head

    def seen_workers(self) -> list[SeenWorker]:
        """The workers that asked for jobs lately; only a leader knows them."""
        return [] if (leading := self.leading) is None else leading.writer.seen_workers()

    @property
    def current_at(self) -> float | None:
        """The time at which a follower was last known to have all of the log; see `Follower`."""
        return None if (follower := self.follower) is None else follower.current_at

    @property
    def is_alive(self) -> bool:
        """Whether it makes sense to let the service run: its writer is alive, or it needs none."""
        return (leading := self.leading) is None or self.is_leaving or leading.writer.is_alive

    def require_leading(self) -> Leading:
        """The parts of a leader.

        Raises:
            Unavailable: the service does not lead.
        """
        if (leading := self.leading) is None:
            leader = self.leader()
            raise Unavailable(
                f"this service is a {self.name}, and changes nothing",
                hint="ask the leader" if leader is None else f"ask the leader, {leader}",
                retry_after_ms=1_000,
            )
        return leading


class Parts(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The parts of one service, from its start to its stop; `instance` is its id.

    `nats_server` is the embedded one; `None` if an external one is used. `now_ms` is the service's clock, in
    milliseconds since the epoch, `clock_error_ms` how far the machine's clock is ahead of it. `record` puts
    an administrative act into the service's log, and tells subscribers; `audit` writes the audit log. Only a
    member of a cluster has a `cluster`.
    """

    settings: Settings
    names: BusNames
    version: str
    instance: str
    origin: Origin
    now_ms: Callable[[], int]
    clock_error_ms: Callable[[], int]
    record: Callable[[Act], None]
    audit: Recorder
    let_through: LetThrough
    nats_server: NatsServer | None
    sharing: SharedUse
    relay_connection: LeanClient
    responder_connection: LeanClient
    readers: ReaderPool
    role: Role
    cluster: Standing | None
    backups: BackupSchedule
    queries: Queries
    administration: Administration
    query_verbs: Mapping[str, QueryVerb]
    command_endpoints: Mapping[str, Endpoint]
    query_endpoints: Mapping[str, Endpoint]

    @property
    def is_connected(self) -> bool:
        """Whether all of the service's connections to the broker are up."""
        leading = self.role.leading
        return (
            self.relay_connection.is_connected
            and self.responder_connection.is_connected
            and (leading is None or leading.intake.is_connected)
            and self.queries.is_connected
        )

    @property
    def dropped_requests(self) -> int:
        """The number of requests that were not carried out, since their reply subject is no inbox."""
        leading = self.role.leading
        of_commands = 0 if leading is None else leading.intake.dropped + leading.durable.dropped
        return of_commands + self.queries.dropped + self.administration.dropped

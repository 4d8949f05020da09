"""The running parts of a service, for those that look at them: health, metrics, HTTP, the console."""

from collections.abc import Callable, Mapping

import msgspec

from bus.broker.server import NatsServer
from bus.contract.subjects import BusNames
from bus.log.cloud_events import Origin
from bus.log.reader_pool import ReaderPool
from bus.publishing.mirrors import Mirrors
from bus.publishing.relay import Relay
from bus.serving.administration import Administration
from bus.serving.audit import Act
from bus.serving.dead_letters import DeadLetters
from bus.serving.discovery import Endpoint
from bus.serving.durable.intake import DurableIntake
from bus.serving.intake import Intake
from bus.serving.queries import Queries, QueryVerb
from bus.transport.connection import LeanClient
from bus.writing.writer import Writer
from ops.archive.archiver import Archiver
from ops.audit.let_through import LetThrough
from ops.audit.recorder import Recorder
from ops.backup.schedule import BackupSchedule
from ops.security.sharing import SharedUse
from ops.settings import Settings
from ops.store.projections_check import ProjectionsCheck


class Leading(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What only a service that writes has: these parts decide commands, and publish what became of them."""

    writer: Writer
    relay: Relay
    mirrors: Mirrors
    archiver: Archiver
    dead_letters: DeadLetters
    intake: Intake
    durable: DurableIntake
    projections: ProjectionsCheck


class Parts(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The parts of one service, from its start to its stop; `instance` is its id.

    `nats_server` is the embedded one; None where another is used. `now_ms` is the service's clock, in
    milliseconds since the epoch, `clock_error_ms` how far the machine's is ahead of it. `record` puts an
    administrative act into the service's log, and tells whoever listens; `audit` writes the audit log.
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
    leading: Leading
    backups: BackupSchedule
    queries: Queries
    administration: Administration
    query_verbs: Mapping[str, QueryVerb]
    command_endpoints: Mapping[str, Endpoint]
    query_endpoints: Mapping[str, Endpoint]

    @property
    def is_connected(self) -> bool:
        """Whether there is a way to the broker."""
        return (
            self.relay_connection.is_connected
            and self.responder_connection.is_connected
            and self.leading.intake.is_connected
            and self.queries.is_connected
        )

    @property
    def dropped_requests(self) -> int:
        """Requests that were not carried out, since their reply subject was nobody's inbox."""
        return (
            self.leading.intake.dropped
            + self.queries.dropped
            + self.leading.durable.dropped
            + self.administration.dropped
        )

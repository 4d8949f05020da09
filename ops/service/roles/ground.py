"""`Ground`: the objects that the parts of a service use in every role."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from bus.broker.server import NatsServer
from bus.contract.senders import UserSubjects
from bus.log import chain
from bus.log.cloud_events import Origin
from bus.log.reader_pool import ReaderPool
from bus.serving.admission import Admission
from bus.serving.discovery import Endpoint
from bus.serving.queries.awaited_changes import AwaitedChanges
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from ops.audit.let_through import LetThrough
from ops.service.background import Background
from ops.service.notices import Notices
from ops.service.standing_alone import StandingAlone
from ops.settings import Settings
from ops.store.tables import Tables

if TYPE_CHECKING:
    # A service without HTTP does not load it.
    from ops.http.backend import Backend


class Ground(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The open store, the connections to the broker, and more, from a service's start to its stop.

    `nats_server` is the embedded one; `None` if another is used. `connect` makes one more connection as the
    responder, `connect_relay` as the relay. `now_ms` is the service's clock, in milliseconds since the epoch.
    """

    settings: Settings
    names: BusNames
    subjects: UserSubjects
    version: str
    now_ms: Callable[[], int]
    origin: Origin
    tables: Tables
    readers: ReaderPool
    nats_server: NatsServer | None
    relay_connection: LeanClient
    responder_connection: LeanClient
    connect: Callable[[], Awaitable[LeanClient]]
    connect_relay: Callable[[], Awaitable[LeanClient]]
    command_endpoints: Mapping[str, Endpoint]
    admission: Admission
    standing_alone: StandingAlone
    notices: Notices
    let_through: LetThrough
    background: Background
    backend: "Backend | None"
    changes: AwaitedChanges = msgspec.field(default_factory=AwaitedChanges)

    def tell(self, rows: Sequence[chain.Row]) -> None:
        """Tells waiting readers that these rows of the log are in the file."""
        self.changes.tell(rows)
        if self.backend is not None:
            self.backend.committed(rows[-1].position)

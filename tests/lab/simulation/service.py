"""A service on a model of everything around it: the product's own writer, relay, intakes and queries.

The product's own `Leadership` begins and ends it. It leaves out the parts that have nothing to do with
commands and events: HTTP, backups, the archive, mirrors, the audit log, users.
"""

from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from bus.broker.users import RELAY, RESPONDER
from bus.contract.rights import UNKNOWN_PRINCIPAL
from bus.contract.senders import UserSubjects
from bus.log.reader_pool import ReaderPool
from bus.publishing.incarnation import Incarnation
from bus.publishing.relay import Relay
from bus.serving.admission import Admission
from bus.serving.dead_letters import DeadLetters
from bus.serving.durable.intake import DurableIntake
from bus.serving.durable.suspects import Suspects
from bus.serving.intake import Intake
from bus.serving.queries.answering import Queries
from bus.serving.queries.awaited_changes import AwaitedChanges
from bus.transport.jetstream import JetStreamApi
from bus.transport.stream_limits import StreamLimits
from bus.writing.submission import Commit
from bus.writing.writer import Writer
from domain.credentials.scanning import AllowedPaths
from hyperpage_client.contract.log_place import LogPlace
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.identifiers import new_id
from hyperpage_client.transport.access import BrokerAddress
from ops.contract.queries import query_verbs
from ops.parts import Leading
from ops.service.background import Background
from ops.service.connections import connect_as
from ops.service.handover import Handover
from ops.service.roles.leadership import Leadership
from ops.service.standing_alone import StandingAlone
from ops.service.steady_clock import SteadyClock, ticks_ms, wall_ms
from ops.store.opening import open_store
from ops.store.tables import Tables
from tests.lab.simulation.disk import Disk
from tests.lab.simulation.scheduler import Process

NAMES = BusNames()
SUBJECTS = UserSubjects(NAMES, are_told=False)
ADDRESS = BrokerAddress(url="nats://model:4222")


class _Nothing:
    """Stands for a part that the simulation leaves out: all its methods do nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None

    async def prepare(self) -> None:
        pass

    async def run(self) -> None:
        pass

    async def stop(self) -> None:
        pass


class SimulatedService:
    """One start of a service on one disk, in one process."""

    def __init__(self, process: Process, disk: Disk) -> None:
        self.process = process
        self.disk = disk
        self.is_serving = False
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Starts the service, which serves when this returns: as `Service._start`, in its order."""
        stack = self._stack
        self.background = Background(stack)
        connection, self.origin = open_store(self.disk.store, cache_kib=1024)
        self.connection = connection
        self.clock = SteadyClock(wall_ms, ticks_ms)
        readers = ReaderPool(self.disk.store, clock=lambda: ticks_ms() / 1_000)
        self.readers = readers
        relay = await connect_as(RELAY, ADDRESS)
        responder = await connect_as(RESPONDER, ADDRESS)
        stack.push_async_callback(relay.close)
        stack.push_async_callback(responder.close)
        api = JetStreamApi(relay)
        self.standing = StandingAlone()
        self.standing._incarnation = Incarnation(api, NAMES.events, new_id(), lambda: ticks_ms() / 1_000)
        tables = Tables()
        handover: Handover

        def committed(commit: Commit) -> None:
            handover.put(commit)

        writer = Writer(
            connection, tables, on_commit=committed, clock=self.clock, is_ours=self.standing.is_so
        )
        admission = Admission(SUBJECTS, lambda _user: UNKNOWN_PRINCIPAL, now_ms=self.clock)
        dead_letters = DeadLetters(relay, SUBJECTS, AllowedPaths(), StreamLimits().dead_letters)
        connect = partial(connect_as, RESPONDER, ADDRESS)
        suspects = Suspects(self.disk.suspects)
        nothing: Any = _Nothing()
        self.leading = leading = Leading(
            writer=writer,
            relay=Relay(relay, NAMES, self.origin, readers.connection),
            mirrors=nothing,
            archiver=nothing,
            dead_letters=dead_letters,
            intake=Intake(connect, writer, SUBJECTS, {}, admission),
            durable=DurableIntake(
                relay, responder, writer, SUBJECTS, dead_letters, suspects, StreamLimits(), admission, readers
            ),
            projections=nothing,
        )
        changes = AwaitedChanges()
        handover = Handover(leading, nothing, nothing, traces=None, tell=changes.tell)
        verbs = query_verbs(tables.row_json, self.clock)

        def place() -> LogPlace:
            return LogPlace(writer.timeline, writer.head.position)

        is_ours = self.standing.is_so
        self.queries = Queries(
            connect, readers, SUBJECTS, verbs, {}, admission, place, is_ours, changes=changes
        )
        leadership = Leadership(leading, handover, suspects, self.standing, self.background, nats_server=None)
        stack.push_async_callback(leadership.stop)
        await leadership.start()
        await self.queries.start()
        stack.push_async_callback(self.queries.stop)
        await leadership.let_commands_in()
        await responder.flush()
        self.is_serving = True

    async def stop(self) -> None:
        """Accepts nothing more, answers and publishes what was accepted, and ends, as `Service.stop`."""
        self.is_serving = False
        await self._stack.aclose()

    @property
    def is_settled(self) -> bool:
        """True if it has done all its work."""
        if not self.is_serving:
            return False
        state = self.leading.relay.state
        return (
            self.standing.is_so()
            and state.healthy
            and state.position == self.leading.writer.head.position
            and not self.leading.writer.waiting
        )

"""The composition root: where the parts are tied together, once, for the command line and the tests."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Self

import apsw

from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RESPONDER
from bus.contract.codec import encode
from bus.contract.senders import UserSubjects
from bus.log.chain import read_head
from bus.log.reader_pool import ReaderPool
from bus.publishing.mirrors import Mirrors
from bus.publishing.relay import Relay
from bus.serving.administration import Administration, AdministrationVerb
from bus.serving.admission import Admission
from bus.serving.dead_letters import DeadLetters
from bus.serving.discovery import Discovery
from bus.serving.durable.intake import DurableIntake
from bus.serving.durable.suspects import Suspects
from bus.serving.intake import Intake
from bus.serving.queries import Queries
from bus.serving.stream_access import StreamAccess
from bus.tasks import to_its_end
from bus.writing.submission import Commit
from bus.writing.writer import Writer
from ops.archive.archiver import Archiver
from ops.audit.administration import audit_verbs
from ops.audit.let_through import LetThrough
from ops.backup.administration import RunningBackups
from ops.backup.schedule import BackupSchedule
from ops.contract.queries import query_verbs
from ops.health.monitor import Monitor
from ops.importing.destinations import RunningImport
from ops.metrics.collector import Metrics
from ops.parts import Parts
from ops.security.registry import Registry
from ops.security.sharing import SharedUse
from ops.service.acts import ActRecord, record_start, recorder
from ops.service.background import Background, close_idle, in_this_loop
from ops.service.connections import administration_by, connect_as, listening, open_broker
from ops.service.endpoints import command_endpoints, query_endpoints, refill_verb, status_verb
from ops.service.handover import Handover
from ops.service.notices import Notices
from ops.service.restores import make_sound
from ops.service.standing_alone import StandingAlone
from ops.service.steady_clock import SteadyClock, continue_from, error_of
from ops.service.traces import traces_if_wanted
from ops.settings import Settings
from ops.store.data_directory import DataDirectory, Runtime, kept_key
from ops.store.file_watch import watch
from ops.store.opening import open_store
from ops.store.private_files import take_from_others
from ops.store.projections_check import ProjectionsCheck
from ops.store.tables import MirroredRows, Tables
from ops.targets.target import address
from ops.version import service_version

if TYPE_CHECKING:
    from ops.http.server import HttpServer

logger = logging.getLogger(__name__)


class Service:
    """One service on one data directory, from `start` to `stop`; used once, in one event loop.

    `clock` answers with milliseconds since the epoch; tests pass their own. `more_administration` is what an
    operator can ask of whoever runs the service. `http` is an HTTP server that outlives this service; without
    it, it has one of its own if the settings say so.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], int] | None = None,
        more_administration: Sequence[AdministrationVerb] = (),
        http: "HttpServer | None" = None,
    ) -> None:
        self.settings = settings
        self._more_administration = more_administration
        self.names = settings.names
        self.subjects = UserSubjects(self.names, are_told=settings.has_accounts)
        self.version = service_version()
        self.registry, self.sharing = Registry(settings.data), SharedUse()
        self.nats_server: NatsServer | None = None
        self.http = http
        self._clock = SteadyClock() if clock is None else clock
        self._stack, self._standing_alone = AsyncExitStack(), StandingAlone()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Serves when this returns; where it raises, everything is as it was.

        Raises:
            ServiceError, DirectoryInUseError, and what the parts raise: the message says why.
        """
        self._background = Background(self._stack)
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def stop(self) -> None:
        """Takes nothing more, answers and publishes what was taken, and ends."""
        await self._stack.aclose()

    async def failure(self) -> None:
        """Waits until a part that must not end has ended, and raises why."""
        await self._background.failure()

    async def _start(self) -> None:
        # The stack is undone in the opposite order: commands stop coming in before the parts that they need
        # end.
        self._directory = directory = DataDirectory(self.settings.data)
        self._stack.callback(directory.release)
        take_from_others(self.settings.data, (self.settings.backup_folder, self.settings.archive_folder))
        await make_sound(self.settings, self.version, after_a_crash=directory.was_left_behind)
        connection = await to_its_end(self._open_store)
        await self._listen()
        await self._connect()
        self.writer = self._new_writer(connection)
        await self._take_the_prefix()
        await self._start_publishing()
        await self._start_serving()
        self._announce()
        await record_start(self.audit, self._stack, self.version, self.writer.head.position)

    def _announce(self) -> None:
        """Has others find the service, with the logins as they are now."""
        self._directory.announce(
            Runtime(
                pid=os.getpid(),
                nats_url=self._broker.address_for(APP).url,
                nats_access=self._broker.address_for(APP).access,
                http_url=None if self.http is None else self.http.url,
                store_id=self.origin.store_id,
                timeline=self.writer.timeline,
                position=self.writer.head.position,
                version=self.version,
                prefix=self.names.prefix,
                instance=self.discovery.instance,
                backups=address(self.settings.backup_folder),
                archive=address(self.settings.archive_folder),
            ),
            administration_by(self._broker.address_for(ADMIN), self.http),
        )

    def _open_store(self) -> apsw.Connection:
        """The connection that writes; others read by `readers`. A migration may take minutes."""
        settings = self.settings
        connection, self.origin = open_store(
            settings.store_path,
            cache_kib=settings.writer_cache_kib,
            upgrade_check_seconds=settings.upgrade_check_seconds,
        )
        self._stack.callback(connection.close)
        continue_from(self._clock, read_head(connection).recorded_at)
        self.readers = ReaderPool(
            settings.store_path,
            maximum=settings.reader_connections,
            idle_seconds=settings.reader_idle_seconds,
            wait_seconds=settings.reader_wait_seconds,
        )
        self._stack.callback(self.readers.close)
        return connection

    async def _listen(self) -> None:
        """Has an HTTP server that answers, with `unavailable` until everything else is there."""
        self.http = await listening(self.settings, self.http, self._stack)
        self.audit = await recorder(self.http, self.settings, self.now_ms, self._stack)

    async def _connect(self) -> None:
        users, note = self.registry.broker_users, self.audit.note
        self._broker = broker = await open_broker(
            self.settings, users, self.sharing, note, self._stack, self._background
        )
        self.nats_server = broker.nats_server
        self._relay_connection, self._responder_connection = broker.relay, broker.responder
        self._notices = Notices(self._relay_connection, self.names)

    def _new_writer(self, connection: apsw.Connection) -> Writer:
        self.tables = Tables()
        return Writer(
            connection,
            self.tables,
            on_commit=self._committed,
            cache_capacity=self.settings.hot_aggregates,
            allowed_secrets=self.settings.allowed_secrets,
            cache_bytes=self.settings.hot_aggregates_kib * 1024,
            busy_after_ms=self.settings.busy_after_ms,
            prune_after_ms=self.settings.prune_after_ms,
            clock=self.now_ms,
            is_ours=self._standing_alone.is_so,
            damage=self.readers.damage,
        )

    async def _take_the_prefix(self) -> None:
        """Tells the network what will be served here, unless somebody else serves it already."""
        status = status_verb(lambda *_: encode(self.health.report()))
        self.query_verbs = query_verbs(self.tables.row_json, self.now_ms) | {status.name: status}
        self.command_endpoints = command_endpoints(self.names)
        self.query_endpoints = query_endpoints(self.names, self.query_verbs)
        self.discovery = Discovery(
            self._responder_connection,
            self.subjects,
            version=self.version,
            endpoints=[*self.command_endpoints.values(), *self.query_endpoints.values()],
            metadata={"prefix": self.names.prefix, "store_id": self.origin.store_id},
        )
        # The embedded nats-server is ours alone.
        if self.nats_server is None:
            relay, instance = self._relay_connection, self.discovery.instance
            await self._standing_alone.take_prefix(
                relay, self.names, instance=instance, store_id=self.origin.store_id
            )
        await self.discovery.start()

    async def _start_publishing(self) -> None:
        self.traces = traces_if_wanted(self.names, self.version)
        connection, limits = self._relay_connection, self.settings.stream_limits
        self.relay = Relay(
            connection,
            self.names,
            self.origin,
            self.readers.connection,
            limits=limits.events,
            on_published=None if self.traces is None else self.traces.published,
            audited=self.settings.data / "stream-audit.json",
        )
        rows = MirroredRows(self.readers)
        self.mirrors = Mirrors(connection, self.names, rows.row_json, rows.all_rows, limits.mirrors)
        # A stream of another store or log is refused here, before anything is served.
        await self._standing_alone.take_store(self.relay, self._stack, self._background)
        await self.mirrors.prepare()
        self._background.start(self.relay.run(), "the relay")
        self._background.start(self.relay.audit.run(), "the audit of the stream")
        self._background.start(self.mirrors.run(), "the mirrors")
        self._background.start(close_idle(self.readers), "the closing of idle readers")
        self.archiver = Archiver(
            self.settings.archive_folder,
            self.origin,
            self.readers.connection,
            store=self.settings.store_path,
            recipients=self.settings.encrypt_to,
            signing=self.settings.signing,
        )
        self.backups = BackupSchedule(
            self.settings, self.origin.store_id, notify=self._notices.of_backup, clock=self.now_ms
        )

    async def _start_serving(self) -> None:
        relay, responder = self._relay_connection, self._responder_connection
        secrets, limits = self.settings.allowed_secrets, self.settings.stream_limits
        self.dead_letters = DeadLetters(relay, self.subjects, secrets, limits.dead_letters)
        # Commands are let in by the writer's thread, queries by one of their own.
        note = in_this_loop(self.audit.note)
        admission = Admission(self.subjects, self.registry.principal_of, note, self.now_ms)
        key = kept_key(self.settings.data / "consumer-names.key")
        places = self.settings.stream_consumers
        self.stream_access = StreamAccess(
            relay, self.subjects, key=key, admission=admission, consumers=places
        )
        connect = partial(connect_as, RESPONDER, self._broker.address_for(RESPONDER))
        self.intake = Intake(connect, self.writer, self.subjects, self.command_endpoints, admission)
        suspects = Suspects(self.settings.data / "durable")
        self._stack.callback(suspects.close)
        self.durable = DurableIntake(
            relay,
            responder,
            self.writer,
            self.subjects,
            self.dead_letters,
            suspects,
            limits,
            admission,
        )
        ours, busy = self._standing_alone.is_so, self.settings.busy_after_ms
        verbs, endpoints = self.query_verbs, self.query_endpoints
        self.queries = Queries(connect, self.readers, self.subjects, verbs, endpoints, admission, ours, busy)
        self.projections = ProjectionsCheck(self.settings.store_path, self.writer, self.now_ms)
        imports = RunningImport(self.writer, secrets)
        running_backups = RunningBackups(self.settings, self.origin.store_id, self.backups)
        administered = (
            *running_backups.verbs(),
            *self.dead_letters.verbs(),
            *self.projections.verbs(),
            *imports.verbs(),
            *self.registry.verbs(self.nats_server, self._announce, self.stream_access.drop_consumers),
            refill_verb(self.relay),
            *audit_verbs(self.audit.trail.folder, running_backups.kept_heads),
            *self._more_administration,
        )
        self.administration = Administration(
            responder,
            self.subjects,
            {verb.name: verb for verb in administered},
            record=ActRecord(self.audit, self._notices, self.now_ms),
            admission=admission,
        )
        self._tie_together()
        await self._begin_to_serve()

    def _tie_together(self) -> None:
        self.parts = Parts(
            settings=self.settings,
            names=self.names,
            version=self.version,
            instance=self.discovery.instance,
            origin=self.origin,
            now_ms=self.now_ms,
            clock_error_ms=lambda: error_of(self._clock, self.writer.head.recorded_at),
            record=self._notices.record,
            audit=self.audit,
            let_through=LetThrough(self.audit, self.settings.allowed_secrets, self.now_ms),
            nats_server=self.nats_server,
            sharing=self.sharing,
            relay_connection=self._relay_connection,
            responder_connection=self._responder_connection,
            readers=self.readers,
            writer=self.writer,
            relay=self.relay,
            mirrors=self.mirrors,
            archiver=self.archiver,
            backups=self.backups,
            intake=self.intake,
            durable=self.durable,
            queries=self.queries,
            administration=self.administration,
            projections=self.projections,
            query_verbs=self.query_verbs,
            command_endpoints=self.command_endpoints,
            query_endpoints=self.query_endpoints,
        )
        http = self.http
        backend = None if http is None else http.backend
        self._handover = Handover(self.parts, self._notices, traces=self.traces, backend=backend)
        self.health = Monitor(self.parts) if http is None else Monitor(self.parts, lambda: http.standing)
        self.metrics = Metrics(self.parts, self.health, None if self.http is None else self.http.counts)

    async def _begin_to_serve(self) -> None:
        await self.dead_letters.prepare()
        await self.durable.prepare()
        if self.nats_server is not None:
            await self.nats_server.synced_streams.sync()
        self.writer.start()
        self._stack.push_async_callback(self._drain)
        await self.health.start()
        await self.stream_access.start()
        self._stack.push_async_callback(self.stream_access.stop)
        await self.queries.start()
        self._stack.push_async_callback(self.queries.stop)
        await self.administration.start()
        self._stack.push_async_callback(self.administration.stop)
        await self.intake.start()
        users = self.registry.run(self.nats_server, self.stream_access.drop_consumers)
        self._background.start(users, "the registry of users")
        self._background.start(self.durable.run(), "the intake of durable commands")
        self._background.start(self.archiver.run(), "the archive")
        self._background.start(watch(self.settings.store_path), "the watch over the store's file")
        self._background.start(self.backups.run(), "the schedule of backups")
        self._background.start(self.health.run(), "the watch over the service's health")
        self.discovery.serving, self.discovery.status = True, self.health.report
        await self._responder_connection.flush()
        if self.http is not None:
            self.http.backend.attach(self.parts, self.health, self.metrics)
            self._stack.push_async_callback(self.http.backend.detach)

    async def _drain(self) -> None:
        try:
            await self.intake.stop()
            await self.durable.stop()
        finally:
            # Also after an error above: the thread would keep the process alive.
            await asyncio.to_thread(self.writer.stop)
        self._handover.take()
        await self.archiver.stop()
        if not await self.relay.drain(5_000):
            logger.warning("not every event is published yet; the rest follows after the next start")

    def _committed(self, commit: Commit) -> None:
        self._handover.put(commit)

    def now_ms(self) -> int:
        """The time by the service's clock."""
        return self._clock()

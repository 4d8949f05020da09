"""The composition root: puts the parts of a service together, for the command line and the tests."""

import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Self

import apsw

from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER
from bus.contract.codec import encode
from bus.contract.senders import UserSubjects
from bus.log.chain import read_head
from bus.log.reader_pool import ReaderPool
from bus.serving.administration import Administration, AdministrationVerb, by_name
from bus.serving.admission import Admission
from bus.serving.discovery import Discovery
from hyperpage_client.tasks import to_its_end, unbroken
from ops.audit.administration import audit_verbs
from ops.audit.let_through import LetThrough
from ops.backup.administration import RunningBackups
from ops.backup.schedule import BackupSchedule
from ops.contract.queries import query_verbs
from ops.health.monitor import Monitor
from ops.metrics.collector import Metrics
from ops.parts import Leading, Parts, Role
from ops.security.registry import Registry
from ops.security.sharing import SharedUse
from ops.service.acts import ActRecord, record_start, recorder
from ops.service.background import Background, close_idle, in_this_loop
from ops.service.connections import administration_by, connect_as, listening, open_broker
from ops.service.endpoints import command_endpoints, query_endpoints, status_verb
from ops.service.notices import Notices
from ops.service.requests import Requests
from ops.service.restores import make_sound
from ops.service.roles.cluster import Cluster, hand_over_verb
from ops.service.roles.ground import Ground
from ops.service.roles.leadership import leadership_on, verbs_of
from ops.service.roles.seeding import make_ready
from ops.service.standing_alone import StandingAlone
from ops.service.steady_clock import SteadyClock, continue_from, error_of
from ops.settings import Settings
from ops.store.data_directory import DataDirectory, Runtime
from ops.store.file_watch import watch
from ops.store.opening import open_store
from ops.store.private_files import take_from_others
from ops.store.tables import Tables
from ops.targets.target import address
from ops.version import service_version
from projections.installed_tables import without_aggregate

if TYPE_CHECKING:
    from ops.http.server import HttpServer


class Service:
    """One service on one data directory, from `start` to `stop`; used once, in one event loop.

    `clock` returns milliseconds since the epoch; tests pass their own. `more_administration` are requests of
    operators that the process around the service answers. `http` is an HTTP server that outlives the service;
    without it, the service makes one of its own if the settings say so.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], int] | None = None,
        more_administration: Sequence[AdministrationVerb] = (),
        http: "HttpServer | None" = None,
    ) -> None:
        self.settings, self._more_administration = settings, more_administration
        self.names = settings.names
        self.subjects = UserSubjects(self.names, are_told=settings.has_accounts)
        self.version = service_version()
        self.registry, self.sharing = Registry(settings.data), SharedUse()
        self.nats_server: NatsServer | None = None
        self.http = http
        self._consumer_names = settings.data / "consumer-names.key"
        self._clock = SteadyClock() if clock is None else clock
        self._stack, self._standing_alone = AsyncExitStack(), StandingAlone()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Starts the service, which serves when this returns. If it raises, all that was opened is closed.

        Raises:
            ServiceError, DirectoryInUseError, and errors of the parts: the message says why.
        """
        self._background = Background(self._stack)
        try:
            await self._start()
        except BaseException:
            # The caller may cancel repeatedly; what was opened is closed to the end all the same.
            await unbroken(self._stack.aclose())
            raise

    async def stop(self) -> None:
        """Takes no more commands, answers and publishes those taken, and ends."""
        await self._stack.aclose()

    async def failure(self) -> None:
        """Waits until a part that must not end has failed, and raises its error."""
        await self._background.failure()

    @property
    def leading(self) -> Leading:
        """The parts that only a leading service has.

        Raises:
            Unavailable: this service does not lead.
        """
        return self.role.require_leading()

    def now_ms(self) -> int:
        """The time by the service's clock."""
        return self._clock()

    async def _start(self) -> None:
        # The stack is undone in the opposite order: commands stop coming in before the parts that they need
        # end.
        self._directory = directory = DataDirectory(self.settings.data)
        self._stack.callback(directory.release)
        take_from_others(self.settings.data, (self.settings.backup_folder, self.settings.archive_folder))
        await make_ready(self.settings)
        await make_sound(self.settings, self.version, after_a_crash=directory.was_left_behind)
        connection = await to_its_end(self._open_store)
        await self._listen()
        ground = await self._connect()
        await self._take_the_prefix(ground)
        if self.settings.is_replicated:
            await self._be_a_member(ground, connection)
        else:
            await self._lead(ground, connection)
        await self._start_watching()
        self._announce()
        await record_start(self.audit, self._stack, self.version, self.role.head.position)

    async def _lead(self, ground: Ground, connection: apsw.Connection) -> None:
        # `leadership` are the parts that only a service that writes has; every service has the others.
        leadership = leadership_on(ground, connection)
        self._stack.push_async_callback(leadership.stop)
        self.role.lead(leadership.leading)
        self._tie_together(ground)
        await leadership.start()
        await self._start_answering()
        self._stack.push_async_callback(self.requests.stream_access.stop)
        await self.requests.answer_for_all()
        await leadership.let_commands_in()

    async def _be_a_member(self, ground: Ground, connection: apsw.Connection) -> None:
        self.cluster = Cluster(
            ground,
            connection,
            self.role,
            instance=self.discovery.instance,
            address="" if self.http is None else self.http.url,
            on_lead=self._answer_for_members,
            on_rest=self._leave_to_others,
        )
        self._stack.push_async_callback(self.cluster.stop)
        self.role.leader = self.cluster.leaders_address
        self._tie_together(ground, self.cluster)
        await self._start_answering()
        await self.cluster.start()

    async def _answer_for_members(self) -> None:
        await self.requests.answer_for_all(await self.cluster.agreed_key(self._consumer_names))

    async def _leave_to_others(self) -> None:
        await self.requests.leave_to_others()

    def _open_store(self) -> apsw.Connection:
        """Opens the store: the connection that writes, and `readers`. A migration may take minutes."""
        settings = self.settings
        connection, self.origin = open_store(
            settings.store_path,
            cache_kib=settings.writer_cache_kib,
            upgrade_check_seconds=settings.upgrade_check_seconds,
            # A member's store takes its id from its log.
            may_begin=not settings.is_replicated or settings.nats is None,
        )
        self._stack.callback(connection.close)
        self._away = frozenset(without_aggregate(connection))
        self.role = Role(head := read_head(connection), settings.role)
        continue_from(self._clock, head.recorded_at)
        self.readers = ReaderPool(
            settings.store_path,
            maximum=settings.reader_connections,
            idle_seconds=settings.reader_idle_seconds,
            wait_seconds=settings.reader_wait_seconds,
        )
        self._stack.callback(self.readers.close)
        return connection

    async def _listen(self) -> None:
        """Starts the HTTP server, which answers `unavailable` until the other parts are ready."""
        self.http = await listening(self.settings, self.http, self._stack)
        self.audit = await recorder(self.http, self.settings, self.now_ms, self._stack)

    async def _connect(self) -> Ground:
        users, note = self.registry.broker_users, self.audit.note
        self._broker = broker = await open_broker(
            self.settings, users, self.sharing, note, self._stack, self._background
        )
        self.nats_server = broker.nats_server
        noted = in_this_loop(note)  # Admission calls it in the threads that take in commands and queries.
        return Ground(
            settings=self.settings,
            names=self.names,
            subjects=self.subjects,
            version=self.version,
            now_ms=self.now_ms,
            origin=self.origin,
            tables=Tables(),
            readers=self.readers,
            nats_server=broker.nats_server,
            relay_connection=broker.relay,
            responder_connection=broker.responder,
            connect=partial(connect_as, RESPONDER, broker.address_for(RESPONDER)),
            connect_relay=partial(connect_as, RELAY, broker.address_for(RELAY)),
            command_endpoints=command_endpoints(self.names),
            admission=Admission(self.subjects, self.registry.principal_of, noted, self.now_ms, self._away),
            standing_alone=self._standing_alone,
            notices=Notices(broker.relay, self.names),
            let_through=LetThrough(self.audit, self.settings.allowed_secrets, self.now_ms),
            background=self._background,
            backend=None if self.http is None else self.http.backend,
        )

    async def _take_the_prefix(self, ground: Ground) -> None:
        """Announces the service on the network, unless another service has its prefix already."""
        verbs = query_verbs(ground.tables.row_json, self.now_ms, self.role.seen_workers)
        self.query_verbs = verbs | status_verb(lambda *_: encode(self.health.report()))
        self._query_endpoints = query_endpoints(self.names, self.query_verbs)
        self.discovery = Discovery(
            ground.responder_connection,
            self.subjects,
            version=self.version,
            endpoints=[*ground.command_endpoints.values(), *self._query_endpoints.values()],
            metadata={"prefix": self.names.prefix, "store_id": self.origin.store_id},
        )
        # No other service uses the embedded nats-server.
        if ground.nats_server is None:
            relay, instance = ground.relay_connection, self.discovery.instance
            await self._standing_alone.take_prefix(
                relay,
                self.names,
                instance=instance,
                store_id=self.origin.store_id,
                is_member=self.settings.is_replicated,
            )
        await self.discovery.start()

    def _tie_together(self, ground: Ground, cluster: Cluster | None = None) -> None:
        settings, verbs = self.settings, self.query_verbs
        self.backups = BackupSchedule(
            settings, self.origin.store_id, notify=ground.notices.of_backup, clock=self.now_ms
        )
        self.requests = Requests(
            ground,
            self.role,
            verbs,
            self._query_endpoints,
            self._administration(ground, cluster),
            self._consumer_names,
        )
        self.parts = Parts(
            settings=settings,
            names=self.names,
            version=self.version,
            instance=self.discovery.instance,
            origin=self.origin,
            now_ms=self.now_ms,
            clock_error_ms=lambda: error_of(self._clock, self.role.head.recorded_at),
            record=ground.notices.record,
            audit=self.audit,
            let_through=ground.let_through,
            nats_server=ground.nats_server,
            sharing=self.sharing,
            relay_connection=ground.relay_connection,
            responder_connection=ground.responder_connection,
            readers=self.readers,
            role=self.role,
            cluster=None if cluster is None else cluster.standing,
            backups=self.backups,
            queries=self.requests.queries,
            administration=self.requests.administration,
            query_verbs=verbs,
            command_endpoints=ground.command_endpoints,
            query_endpoints=self._query_endpoints,
        )
        http = self.http
        self.health = Monitor(self.parts) if http is None else Monitor(self.parts, lambda: http.standing)
        self.metrics = Metrics(self.parts, self.health, None if http is None else http.counts)

    def _administration(self, ground: Ground, cluster: Cluster | None) -> Administration:
        running_backups = RunningBackups(self.settings, self.origin.store_id, self.backups)
        of_all = by_name(
            *running_backups.verbs(),
            *self.registry.verbs(self.nats_server, self._announce, self._drop_consumers),
            *audit_verbs(self.audit.trail.folder, running_backups.kept_heads),
            hand_over_verb(cluster, self.role),
            *self._more_administration,
        )
        return Administration(
            ground.responder_connection,
            self.subjects,
            lambda: {**of_all, **verbs_of(self.role)},
            instance=self.discovery.instance,
            record=ActRecord(self.audit, ground.notices, self.now_ms),
            admission=ground.admission,
        )

    async def _start_answering(self) -> None:
        await self.health.start()
        await self.requests.start(self._stack)

    async def _start_watching(self) -> None:
        """Starts the background tasks, and has HTTP requests answered."""
        start = self._background.start
        users = self.registry.run(self.nats_server, self._drop_consumers)
        start(users, "the registry of users")
        start(watch(self.settings.store_path), "the watch over the store's file")
        start(close_idle(self.readers), "the closing of idle readers")
        start(self.backups.run(), "the schedule of backups")
        start(self.health.run(), "the watch over the service's health")
        self.discovery.serving, self.discovery.status = True, self.health.report
        await self._broker.responder.flush()
        if self.http is not None:
            self.http.backend.attach(self.parts, self.health, self.metrics)
            self._stack.push_async_callback(self.http.backend.detach)

    async def _drop_consumers(self) -> None:
        # The leader alone drops consumers, since it knows all of them.
        if self.role.leading is not None:
            await self.requests.stream_access.drop_consumers()

    def _announce(self) -> None:
        """Writes the files by which clients find the service, with the logins as they are now."""
        self._directory.announce(
            Runtime(
                pid=os.getpid(),
                nats_url=(at := self._broker.address_for(APP)).urls[0],
                nats_urls=tuple(at.urls),
                nats_access=at.access,
                http_url=None if self.http is None else self.http.url,
                store_id=self.origin.store_id,
                timeline=self.origin.timeline,
                position=self.role.head.position,
                version=self.version,
                prefix=self.names.prefix,
                instance=self.discovery.instance,
                asked_by_id=True,
                backups=address(self.settings.backup_folder),
                archive=address(self.settings.archive_folder),
            ),
            administration_by(self._broker.address_for(ADMIN), self.http),
        )

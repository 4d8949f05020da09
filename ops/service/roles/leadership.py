"""`Leadership`: the parts that only the service that writes has.

start             checks that the streams are this store's ─▶ relay, mirrors ─▶ the writer
let_commands_in   takes commands ─▶ durable commands ─▶ the archive
stop              takes no more commands ─▶ ends the writer ─▶ tells, archives, publishes ─▶ ends the others
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

import apsw
from msgspec import Raw

from bus.broker.server import NatsServer
from bus.publishing.mirrors import Mirrors
from bus.publishing.relay import Relay
from bus.replication.replicating import Replicator
from bus.replication.trailing import Trailing
from bus.serving.administration import AdministrationVerb, by_name
from bus.serving.dead_letters import DeadLetters
from bus.serving.durable.intake import DurableIntake
from bus.serving.durable.suspects import Suspects
from bus.serving.intake import Intake
from bus.writing.submission import Commit
from bus.writing.writer import Writer
from ops.archive.archiver import Archiver
from ops.importing.destinations import RunningImport
from ops.parts import Leading, Role
from ops.service.background import Background
from ops.service.endpoints import refill_verb
from ops.service.handover import Handover
from ops.service.roles.ground import Ground
from ops.service.standing_alone import StandingAlone
from ops.service.traces import Traces, traces_if_wanted
from ops.store.projections_check import ProjectionsCheck
from ops.store.tables import MirroredRows

# How long the end waits until the log has all answered events.
SENT_WITHIN_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Leadership:
    """Runs the parts of a leader, from `start` to `stop`; used once.

    Queries, HTTP, health and backups do not depend on it, and run before and after it, too.
    """

    def __init__(
        self,
        leading: Leading,
        handover: Handover,
        suspects: Suspects,
        standing_alone: StandingAlone,
        background: Background,
        *,
        nats_server: NatsServer | None,
    ) -> None:
        self.leading = leading
        self._handover = handover
        self._standing_alone = standing_alone
        self._nats_server = nats_server
        # Undone in the reverse order: commands stop coming in before the parts that they need end.
        self._stack = AsyncExitStack()
        self._stack.callback(suspects.close)
        self._background = background.ended_by(self._stack)

    async def start(self) -> None:
        """Starts the parts; when this returns, commands from within the process are decided.

        If it raises, `stop` undoes the start.

        Raises:
            ServiceError, and errors of the parts: the message says why.
        """
        leading, background = self.leading, self._background
        # A stream of another store or log is refused here, before anything is served.
        await self._standing_alone.take_store(leading.relay, self._stack, background)
        await leading.mirrors.prepare()
        background.start(leading.relay.run(), "the relay")
        background.start(leading.relay.audit.run(), "the audit of the stream")
        background.start(leading.mirrors.run(), "the mirrors")
        await leading.dead_letters.prepare()
        await leading.durable.prepare()
        if self._nats_server is not None:
            await self._nats_server.synced_streams.sync()
        if (trailing := leading.trailing) is not None:
            self._stack.push_async_callback(trailing.replicator.close)
            background.start(trailing.run(), "the log behind what is answered")
        leading.writer.start()
        self._stack.push_async_callback(self._drain)

    async def let_commands_in(self) -> None:
        """Takes commands from outside. Queries are answered already: clients may send one right after."""
        await self.leading.intake.start()
        self._background.start(self.leading.durable.run(), "the intake of durable commands")
        self._background.start(self.leading.archiver.run(), "the archive")

    async def stop(self) -> None:
        """Takes no more commands, answers and publishes those taken, and ends."""
        await self._stack.aclose()

    async def have_all_sent(self) -> None:
        """If the log trails: decides no more commands, and returns when the log has all answered events.

        It gives up after 5 s for the commit under way, and again after 5 s for the log.
        """
        if (trailing := self.leading.trailing) is None:
            return
        trailing.is_open, writer = False, self.leading.writer
        with suppress(TimeoutError):
            async with asyncio.timeout(SENT_WITHIN_SECONDS):
                # A group that was begun before the change of `is_open` is committed still.
                while writer.is_alive and writer.is_at_work:  # noqa: ASYNC110  # a moment, once
                    await asyncio.sleep(0.005)
        self._handover.take()
        if writer.is_alive and writer.is_at_work:
            # No last frame is sent: the commit under way would come after it.
            logger.warning(
                "what is being decided is not on disk yet: who leads before the log has it begins a timeline"
            )
        elif not await trailing.finish(SENT_WITHIN_SECONDS):
            logger.warning(
                "%d events that were answered are not in the log of the cluster: who leads before this one"
                " does begins a timeline without them",
                trailing.state.lag_events,
            )

    async def _drain(self) -> None:
        leading = self.leading
        try:
            await leading.intake.stop()
            await leading.durable.stop()
        finally:
            # Also after an error above, since the writer's thread would keep the process alive.
            await asyncio.to_thread(leading.writer.stop)
        self._handover.take()
        await self.have_all_sent()
        await leading.archiver.stop()
        if not await leading.relay.drain(5_000):
            logger.warning("not every event is published yet; the rest follows after the next start")


def leadership_on(
    ground: Ground,
    connection: apsw.Connection,
    replicator: Replicator | None = None,
    trailing: Trailing | None = None,
) -> Leadership:
    """The parts of a leader, not started yet. `connection` is the one that writes; nothing else uses it.

    In a cluster, `replicator` gets each group before its commit, or `trailing` gets it later.
    """
    handover: Handover

    def committed(commit: Commit) -> None:
        handover.put(commit)

    settings, relay = ground.settings, ground.relay_connection
    limits, secrets, admission = settings.stream_limits, settings.allowed_secrets, ground.admission
    traces = traces_if_wanted(ground.names, ground.version)
    writer = _writer(ground, connection, committed, replicator, trailing)
    dead_letters = DeadLetters(relay, ground.subjects, secrets, limits.dead_letters)
    suspects = Suspects(settings.data / "durable")
    event_relay = _relay(ground, traces)
    projections = ProjectionsCheck(settings.store_path, writer, ground.now_ms)
    leading = Leading(
        writer=writer,
        relay=event_relay,
        mirrors=_mirrors(ground),
        archiver=_archiver(ground),
        dead_letters=dead_letters,
        intake=_intake(ground, writer),
        durable=DurableIntake(
            relay,
            ground.responder_connection,
            writer,
            ground.subjects,
            dead_letters,
            suspects,
            limits,
            admission,
            ground.readers,
            is_ours=ground.standing_alone.is_so,
        ),
        projections=projections,
        verbs=by_name(
            *dead_letters.verbs(),
            *projections.verbs(),
            *RunningImport(writer, secrets).verbs(),
            refill_verb(event_relay),
        ),
        trailing=trailing,
    )
    handover = Handover(leading, ground.let_through, ground.notices, traces=traces, tell=ground.tell)
    return Leadership(
        leading,
        handover,
        suspects,
        ground.standing_alone,
        ground.background,
        nats_server=ground.nats_server,
    )


# The requests of operators that only the service that writes carries out.
LEADERS_VERBS = (
    "backup.restore",
    "dlq.list",
    "dlq.show",
    "dlq.replay",
    "dlq.drop",
    "import.file",
    "projections.verify",
    "projections.rebuild",
    "stream.refill",
)


def verbs_of(role: Role) -> Mapping[str, AdministrationVerb]:
    """The requests of operators to a leader; a service that does not lead refuses all of them."""
    if (leading := role.leading) is not None:
        return leading.verbs

    async def refuse(_: Any) -> Any:
        role.require_leading()

    return by_name(*(AdministrationVerb(name=name, shape=Raw, carry_out=refuse) for name in LEADERS_VERBS))


def _writer(
    ground: Ground,
    connection: apsw.Connection,
    committed: Callable[[Commit], None],
    replicator: Replicator | None,
    trailing: Trailing | None,
) -> Writer:
    settings, is_ours = ground.settings, ground.standing_alone.is_so
    if trailing is not None:
        is_alone = is_ours

        def is_ours() -> bool:
            return trailing.is_open and is_alone()

    writer = Writer(
        connection,
        ground.tables,
        on_commit=committed,
        cache_capacity=settings.hot_aggregates,
        allowed_secrets=settings.allowed_secrets,
        cache_bytes=settings.hot_aggregates_kib * 1024,
        busy_after_ms=settings.busy_after_ms,
        prune_after_ms=settings.prune_after_ms,
        clock=ground.now_ms,
        is_ours=is_ours,
        damage=ground.readers.damage,
        replication=replicator,
    )
    if replicator is not None:
        writer.thread.ending.push_async_callback(replicator.close)
    return writer


def _mirrors(ground: Ground) -> Mirrors:
    rows, limits = MirroredRows(ground.readers), ground.settings.stream_limits
    return Mirrors(ground.relay_connection, ground.names, rows.row_json, rows.all_rows, limits.mirrors)


def _intake(ground: Ground, writer: Writer) -> Intake:
    return Intake(
        ground.connect,
        writer,
        ground.subjects,
        ground.command_endpoints,
        ground.admission,
        has_others=ground.settings.is_replicated,
    )


def _archiver(ground: Ground) -> Archiver:
    settings = ground.settings
    return Archiver(
        settings.archive_folder,
        ground.origin,
        ground.readers.connection,
        store=settings.store_path,
        recipients=settings.encrypt_to,
        signing=settings.signing,
    )


def _relay(ground: Ground, traces: Traces | None) -> Relay:
    return Relay(
        ground.relay_connection,
        ground.names,
        ground.origin,
        ground.readers.connection,
        limits=ground.settings.stream_limits.events,
        on_published=None if traces is None else traces.published,
        audited=ground.settings.data / "stream-audit.json",
    )

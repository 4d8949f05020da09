"""Looks at a running service every few seconds, and says how it is to whoever asks. `Monitor`.

What reads files or waits for a disk happens in a thread, in between; an answer is put together from memory,
so it comes at once however the disks, the broker and the pool of readers are.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bus.tasks import cancel
from bus.transport.jetstream import JetStreamApi, JetStreamError
from ops.archive.archiver import ArchiveState
from ops.backup.restoring.repairs import MOST_IN_A_DAY, Repair, repairs_of_a_day
from ops.backup.schedule import BackupState
from ops.backup.verdict import Verdict, judge, problem_of_store
from ops.health.access import APP_SHARED, HTTP_OPEN, AccessStanding, Note, repair_notes
from ops.health.causes import (
    Cause,
    access_causes,
    audit_causes,
    audit_of_stream_causes,
    backup_causes,
    broker_causes,
    clock_causes,
    machine_causes,
    mirror_causes,
    reading_causes,
    status_of,
    store_causes,
    stream_causes,
    subject_causes,
    writer_causes,
)
from ops.health.chain_watch import ChainWatch
from ops.health.machine import Disk, Memory, disks_of, memory
from ops.health.store import Integrity, StoreLook, StoreProbe, check_integrity
from ops.health.streams import StreamFigures, stream_figures
from ops.parts import Parts

# How late a look may be: a disk that does not answer for longer counts as gone.
LOOK_LATE_SECONDS = 10.0
# How long the broker may take to say how much waits there; usually it takes a millisecond.
BROKER_SECONDS = 1.0
# When the first check of the store comes at the latest, however long the interval is.
FIRST_CHECK_SECONDS = 60.0
# The time over which rates are taken.
RATE_SECONDS = 10.0
# After how long all of the store is looked at again, where damage was met and nothing was found.
LOOK_AGAIN_SECONDS = 60.0
# How long a repair that would lose something is put off at first, and at most.
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 600.0

logger = logging.getLogger(__name__)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of one look. `at` is by the monotonic clock, in seconds."""

    at: float
    store: StoreLook
    disks: list[Disk]
    memory: Memory
    backups: BackupState
    archive: ArchiveState
    repairs: list[Repair]


class Monitor:
    """The health of one service; `integrity` is the last check of its store.

    `access` says who is let in over HTTP. `report` may be asked by any thread, the rest belongs to the event
    loop.
    """

    def __init__(self, parts: Parts, access: Callable[[], AccessStanding] = AccessStanding) -> None:
        self._parts = parts
        self._access = access
        self._settings = parts.settings
        self.damage = parts.readers.damage
        self.chain = ChainWatch(parts.settings.store_path, self.damage, parts.now_ms)
        self.verdict: Verdict | None = None
        self._probe = StoreProbe(parts.settings.store_path, self.damage)
        self._look: Look | None = None
        self.integrity = Integrity()
        self._next_check = time.monotonic() + min(FIRST_CHECK_SECONDS, self._check_seconds)
        self._checked_at = time.monotonic()
        self._next_look = 0.0
        self._checking: asyncio.Task[None] | None = None
        self._stopping = threading.Event()
        self._began_ms = parts.now_ms()
        # The number of looks in a row that found all readers in use.
        self._exhausted_looks = 0
        self._causes: dict[str, Cause] = {}
        # The times of the last looks, each with the number of commands by then.
        self._counted: deque[tuple[float, int]] = deque()
        # By name; empty while the broker does not say.
        self.streams: Mapping[str, StreamFigures] = {}

    async def start(self) -> None:
        """Looks once; from then on there is something to say."""
        self._look = await asyncio.to_thread(self._look_around)
        self._count()

    async def run(self) -> None:
        """Looks again and again, for ever."""
        watching = asyncio.create_task(self.chain.run(self._check_seconds), name="check of the log")
        try:
            while True:
                await asyncio.sleep(self._settings.health_interval_seconds)
                self._look = await asyncio.to_thread(self._look_around)
                self._count()
                await self._ask_the_broker()
                await self._parts.audit.read_head()
                self._try_to_write()
                self._start_check_if_due()
                self._tell_changes()
        finally:
            self._stopping.set()
            await cancel(watching)
            if self._checking is not None:
                await self._checking

    @property
    def look(self) -> Look:
        """The last look."""
        assert self._look is not None, "not started"
        return self._look

    @property
    def causes(self) -> list[Cause]:
        """Why the service is not healthy; empty if it is. The unhealthy ones come first."""
        parts, look, settings = self._parts, self.look, self._settings
        leading, now_ms = parts.leading, parts.now_ms()
        found = [
            *broker_causes(parts, now_ms),
            *writer_causes(leading.writer, settings),
            *clock_causes(parts.clock_error_ms()),
            *store_causes(
                look.store,
                self.damage,
                self.verdict,
                look_age_seconds=time.monotonic() - look.at,
                look_late_seconds=LOOK_LATE_SECONDS + settings.health_interval_seconds,
            ),
            *reading_causes(
                look.store,
                parts.readers,
                parts.queries.turns,
                settings,
                are_readers_exhausted=self._exhausted_looks > 1,
            ),
            *machine_causes(look.disks, look.memory, settings),
            *stream_causes(self.streams, parts.names, has_unkept_letters=leading.durable.unkept_letters > 0),
            *subject_causes(self.streams, settings),
            *audit_of_stream_causes(leading.relay.audit.state, parts.names.events),
            *mirror_causes(leading.mirrors.state),
            *access_causes(self._access()),
            *audit_causes(parts.audit),
            *backup_causes(
                look.backups, look.archive, now_ms=now_ms, began_ms=self._began_ms, settings=settings
            ),
        ]
        return sorted(found, key=lambda one: one.level, reverse=True)

    @property
    def notes(self) -> list[Note]:
        """What should be known, though the service is healthy."""
        is_shared = self._parts.sharing.is_shared
        return [
            *([HTTP_OPEN] if self._access().is_open else []),
            *([APP_SHARED] if is_shared else []),
            *repair_notes(self.look.repairs),
        ]

    def report(self) -> dict[str, Any]:
        """The answer to `service.status`: the status, the reasons for it, and the figures."""
        parts, look, causes, leading = self._parts, self.look, self.causes, self._parts.leading
        writer, readers, relay, server = leading.writer, parts.readers, leading.relay.state, parts.nats_server
        statistics = writer.statistics
        return {
            "status": status_of(causes),
            "reasons": [one.text for one in causes],
            "causes": causes,
            "notes": self.notes,
            "version": parts.version,
            "instance": parts.instance,
            "store_id": parts.origin.store_id,
            "timeline": writer.timeline,
            "position": writer.head.position,
            "store": self._store_figures(),
            "writer": {
                "waiting_commands": writer.waiting,
                "waiting_seconds": round(writer.queue.wait_seconds, 3),
                "groups": statistics.groups,
                "commands": statistics.commands,
                "commands_per_second": round(self.commands_per_second, 2),
                "events": statistics.events,
                "failed_commits": statistics.failed_commits,
            },
            "readers": {"open": readers.open, "in_use": readers.in_use, "maximum": readers.maximum},
            # One connection writes; each reader that is in use may have a transaction open.
            "connections": {
                "open": 1 + readers.open,
                "open_transactions": readers.in_use + (statistics.busy_since is not None),
            },
            "memory": {
                **msgspec.structs.asdict(look.memory),
                "page_caches_bytes": statistics.cache.used_bytes + readers.cache.used_bytes,
            },
            "disks": look.disks,
            "broker": {
                "embedded": server is not None,
                "connected": parts.is_connected,
                "restarts": 0 if server is None else server.restarts,
                "durable_commands_waiting": self.durable_waiting,
                "dead_letters": self.dead_letters,
                "dead_letters_not_kept": leading.durable.unkept_letters,
                "streams": self.streams,
            },
            "relay": {
                "position": relay.position,
                "lag_events": relay.lag,
                "lag_seconds": self.relay_lag_seconds,
            },
            "stream_audit": leading.relay.audit.state,
            "mirrors": [
                {"bucket": one.bucket, "waiting": one.waiting, "problem": one.problem}
                for one in leading.mirrors.state
            ],
            "backups": look.backups,
            "archive": look.archive,
            "audit": parts.audit.figures,
            "dropped_requests": parts.dropped_requests,
        }

    def _store_figures(self) -> dict[str, Any]:
        look, hit_rate = self.look.store, self._parts.leading.writer.statistics.cache.hit_rate
        return {
            "size_bytes": look.size_bytes,
            "free_bytes": look.free_bytes,
            "wal_bytes": look.wal_bytes,
            "query_ms": look.query_ms,
            "cache_hit_rate": None if hit_rate is None else round(hit_rate, 4),
            "integrity": self.integrity,
            "chain": self.chain.state,
            "migrations": look.migrations or "all applied",
        }

    @property
    def durable_waiting(self) -> int | None:
        """How many durable commands wait; `None` while the broker does not say."""
        return self._messages_in(self._parts.names.commands)

    @property
    def dead_letters(self) -> int | None:
        """How many dead letters there are; `None` while the broker does not say."""
        return self._messages_in(self._parts.names.dead_letters)

    def _messages_in(self, stream: str) -> int | None:
        figures = self.streams.get(stream)
        return None if figures is None else figures.messages

    @property
    def relay_lag_seconds(self) -> float:
        """For how long the oldest event that is not published has waited."""
        oldest = self._parts.leading.relay.state.oldest_unpublished_at
        return 0.0 if oldest is None else max(0.0, (self._parts.now_ms() - oldest) / 1_000)

    @property
    def commands_per_second(self) -> float:
        """How many commands came to the writer in each of the last seconds, on average."""
        since, commands = self._counted[0]
        seconds = time.monotonic() - since
        return (self._parts.leading.writer.statistics.commands - commands) / seconds if seconds > 0 else 0.0

    def _count(self) -> None:
        now = time.monotonic()
        self._counted.append((now, self._parts.leading.writer.statistics.commands))
        while len(self._counted) > 1 and now - self._counted[0][0] > RATE_SECONDS:
            self._counted.popleft()

    @property
    def _check_seconds(self) -> float:
        return self._settings.integrity_check_minutes * 60

    def _look_around(self) -> Look:
        """A look. It waits for disks, so a thread takes it; an error of theirs is a problem of the store."""
        parts = self._parts
        is_exhausted = parts.readers.in_use >= parts.readers.maximum
        self._exhausted_looks = self._exhausted_looks + 1 if is_exhausted else 0
        store = self._probe.look()
        try:
            found = disks_of(self._settings)
        except OSError as error:
            found = []
            store = msgspec.structs.replace(store, problem=store.problem or str(error))
        return Look(
            at=time.monotonic(),
            store=store,
            disks=found,
            memory=memory(),
            backups=parts.backups.state,
            archive=parts.leading.archiver.state,
            repairs=repairs_of_a_day(self._settings.data, parts.now_ms()),
        )

    async def _ask_the_broker(self) -> None:
        try:
            async with asyncio.timeout(BROKER_SECONDS):
                api = JetStreamApi(self._parts.relay_connection)
                self.streams = await stream_figures(api, self._parts.names)
        except (JetStreamError, TimeoutError):
            # The figures are not known meanwhile; the state of the relay has the reason.
            self.streams = {}

    def _try_to_write(self) -> None:
        # An unhealthy service is sent no commands by a load balancer, so it has to try by itself.
        writer = self._parts.leading.writer
        if writer.statistics.last_failure is not None and writer.waiting == 0:
            writer.try_again()

    def _start_check_if_due(self) -> None:
        is_due = self._check_seconds > 0 and time.monotonic() >= self._next_check
        is_suspected = self.damage.suspected_at > self._checked_at and time.monotonic() >= self._next_look
        if (is_due or is_suspected) and (self._checking is None or self._checking.done()):
            self._checked_at = time.monotonic()
            check = self._look_at_all() if is_suspected else self._check()
            self._checking = asyncio.create_task(check, name="check of the store")

    async def _look_at_all(self) -> None:
        """Finds out whether what somebody met is damage of the file, and what repairs it."""
        try:
            problem = await asyncio.to_thread(problem_of_store, self._settings.store_path, self._stopping)
        except Exception as error:  # whatever keeps it from being looked at, it is tried again
            self.damage.suspect(f"it could not be looked at: {error}")
            return
        finally:
            self._next_look = time.monotonic() + LOOK_AGAIN_SECONDS
        if self._stopping.is_set():
            return
        if problem is None:
            self.damage.refute()
            self.verdict = None
        else:
            self.damage.confirm(problem)
            await self._judge()

    async def damage_to_repair(self, repairs_of_a_day: Callable[[], int]) -> str:
        """Returns once the store is damaged, and the service may repair it without a loss; what is wrong."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            await asyncio.sleep(self._settings.health_interval_seconds)
            if not self.damage.is_confirmed or self.verdict is None:
                continue
            # Their file may have fewer than this process knows of.
            is_often = max(len(self.look.repairs), repairs_of_a_day()) >= MOST_IN_A_DAY
            if self.verdict.loses_nothing and not is_often:
                return self.verdict.message
            # The archive may only just be behind; and what is missing may come back, a bucket say.
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            await self._judge()

    async def _judge(self) -> None:
        known = max(self._parts.leading.writer.head.position, self._parts.leading.relay.state.position or 0)
        try:
            self.verdict = await asyncio.to_thread(
                judge, self._settings.places, store_problem=self.damage.problem, known=known
            )
        except Exception as error:  # whatever is wrong with the copies, the damage is told
            logger.error("which copy of the store is wrong cannot be told: %s", error)  # noqa: TRY400

    async def _check(self) -> None:
        self.integrity = await asyncio.to_thread(
            check_integrity,
            self._settings.store_path,
            now_ms=self._parts.now_ms(),
            stopping=self._stopping,
        )
        self._next_check = time.monotonic() + self._check_seconds
        if self.integrity.problem is not None:
            self.damage.found(self.integrity.problem)

    def _tell_changes(self) -> None:
        causes = {one.cause: one for one in self.causes}
        for name, cause in causes.items():
            if name not in self._causes:
                logger.warning("%s: %s", cause.level, cause.text, extra={"cause": name})
        for name in self._causes.keys() - causes.keys():
            logger.info("no longer: %s", self._causes[name].message, extra={"cause": name})
        self._causes = causes

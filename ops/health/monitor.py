"""Looks at a running service every few seconds, and reports its health. `Monitor`.

Files and disks are read in a thread, beforehand. A report is made from memory, so it comes at once even if
the disks, the broker or the pool of readers are in trouble.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bus.publishing.relay import RelayState
from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.tasks import cancel
from ops.archive.archiver import ArchiveState
from ops.backup.restoring.repairs import Repair, repairs_of_a_day
from ops.backup.schedule import BackupState
from ops.health.access import APP_SHARED, HTTP_OPEN, AccessStanding, Note, repair_notes
from ops.health.aggregates import KeptTables, installed_figures
from ops.health.cause import Cause, status_of
from ops.health.causes import (
    access_causes,
    archive_causes,
    audit_causes,
    backup_causes,
    clock_causes,
    machine_causes,
    reading_causes,
    room_causes,
    store_causes,
    writer_causes,
)
from ops.health.cluster import (
    Fork,
    cluster_causes,
    cluster_figures,
    following_causes,
    last_fork,
    lost_notes,
    trailing_causes,
    version_notes,
)
from ops.health.command_rate import CommandRate
from ops.health.figures import (
    broker_figures,
    messages_in,
    mirror_figures,
    relay_figures,
    replication_figures,
    store_figures,
    writer_figures,
)
from ops.health.handling import handling_causes
from ops.health.machine import Disk, Memory, disks_of, memory
from ops.health.room import RoomWatch
from ops.health.store import StoreLook, StoreProbe
from ops.health.store_checks import StoreChecks
from ops.health.stream_causes import (
    audit_of_stream_causes,
    broker_causes,
    mirror_causes,
    relay_causes,
    stream_causes,
    subject_causes,
)
from ops.health.streams import StreamFigures, stream_figures
from ops.health.work import WorkWatch, job_figures
from ops.parts import Parts
from ops.store.lost_events import lost_events
from ops.store.troubles import message_of

# The most that a look may be late: a disk that does not answer for longer counts as gone.
LOOK_LATE_SECONDS = 10.0
# The time that the broker has to answer with the figures of its streams; usually it takes a millisecond.
BROKER_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of one look. `at` is by the monotonic clock, in seconds; only a leader has an archive.

    Only a member of a cluster has files with `lost` events, and a `fork` that a leader began.
    """

    at: float
    store: StoreLook
    disks: list[Disk]
    memory: Memory
    backups: BackupState
    archive: ArchiveState | None
    repairs: list[Repair]
    lost: Sequence[Path] = ()
    fork: Fork | None = None


class Monitor:
    """The health of one service; `checks` are the checks of its store.

    `access` answers with the standing of HTTP's access control. Any thread may call `report`; the rest
    belongs to the event loop.
    """

    def __init__(self, parts: Parts, access: Callable[[], AccessStanding] = AccessStanding) -> None:
        self._parts = parts
        self._access = access
        self._settings = parts.settings
        damage, now_ms = parts.readers.damage, parts.now_ms
        self.checks = StoreChecks(parts.settings, damage, now_ms=now_ms, known=self._known_position)
        self._probe = StoreProbe(parts.settings.store_path, damage)
        self.work = WorkWatch(
            parts.settings.store_path,
            damage,
            writer=lambda: None if (leading := parts.role.leading) is None else leading.writer,
            now_ms=now_ms,
            every_seconds=parts.settings.health_interval_seconds,
            unhandled_after_ms=parts.settings.unhandled_jobs_degraded_minutes * 60_000,
        )
        self.room = RoomWatch(
            parts.settings,
            now_ms=now_ms,
            streams=lambda: {f"stream {name}": one.size_bytes for name, one in self.streams.items()},
        )
        self._look: Look | None = None
        self._kept = KeptTables(parts.settings.store_path, damage)
        self._began_ms = parts.now_ms()
        # How many looks in a row found all readers in use.
        self._exhausted_looks = 0
        self._causes: dict[str, Cause] = {}
        self._rate = CommandRate(self._commands)
        # By name; empty while the broker does not answer.
        self.streams: Mapping[str, StreamFigures] = {}

    async def start(self) -> None:
        """Looks for the first time; a report can be made from then on."""
        await asyncio.to_thread(self._kept.look)
        self._look = await asyncio.to_thread(self._look_around)
        self._rate.count()

    async def run(self) -> None:
        """Looks at the service again and again, for ever, and starts its checks."""
        self.checks.start()
        await self._ask_the_broker()
        measuring = asyncio.create_task(self.room.run(), name="measuring of the room")
        looking = asyncio.create_task(self.work.run(), name="looks at what there is to do")
        try:
            while True:
                await asyncio.sleep(self._settings.health_interval_seconds)
                self._look = await asyncio.to_thread(self._look_around)
                self._rate.count()
                await self._ask_the_broker()
                await self._parts.audit.read_head()
                self._try_to_write()
                self.checks.start_if_due()
                self._tell_changes()
        finally:
            await cancel(looking)
            await cancel(measuring)
            await self.checks.stop()

    async def damage_to_repair(self, repairs_of_a_day: Callable[[], int]) -> str:
        """Returns what is wrong, once the store is damaged and the service may repair it without a loss."""
        # The file with the repairs may have fewer of them than this process remembers.
        return await self.checks.damage_to_repair(lambda: max(len(self.look.repairs), repairs_of_a_day()))

    @property
    def look(self) -> Look:
        """The last look."""
        assert self._look is not None, "not started"
        return self._look

    @property
    def causes(self) -> list[Cause]:
        """The causes why the service is not healthy, unhealthy ones first; empty if it is healthy."""
        parts, look, settings, now_ms = self._parts, self.look, self._settings, self._parts.now_ms()
        found = [
            *broker_causes(parts),
            *self._role_causes(now_ms),
            *clock_causes(parts.clock_error_ms()),
            *store_causes(
                look.store,
                self.checks.damage,
                self.checks.verdict,
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
            *room_causes(self.room.state, now_ms),
            *access_causes(self._access()),
            *(
                ()
                if parts.cluster is None
                else cluster_causes(parts.cluster.state, is_connected=parts.is_connected)
            ),
            *audit_causes(parts.audit),
            *backup_causes(look.backups, now_ms=now_ms, began_ms=self._began_ms, settings=settings),
        ]
        return sorted(found, key=lambda one: one.level, reverse=True)

    def _role_causes(self, now_ms: int) -> Iterator[Cause]:
        """Causes in the parts that only a leader has, or only a follower."""
        settings, names, role = self._settings, self._parts.names, self._parts.role
        if (follower := role.follower) is not None:
            yield from following_causes(follower.state, settings)
        if (leading := role.leading) is None or role.is_leaving:
            return
        yield from relay_causes(leading.relay.state, settings, now_ms)
        yield from writer_causes(leading.writer, settings)
        if leading.trailing is not None:
            yield from trailing_causes(leading.trailing.state, settings)
        yield from stream_causes(self.streams, names, has_unkept_letters=leading.durable.unkept_letters > 0)
        yield from subject_causes(self.streams, settings)
        yield from audit_of_stream_causes(leading.relay.audit.state, names.events)
        yield from handling_causes(self.work.state.unhandled, now_ms)
        yield from mirror_causes(leading.mirrors.state)
        if (archive := self.look.archive) is not None:
            yield from archive_causes(archive)

    @property
    def notes(self) -> list[Note]:
        """Notes that operators should know, even if the service is healthy."""
        is_shared = self._parts.sharing.is_shared
        return [
            *([HTTP_OPEN] if self._access().is_open else []),
            *([APP_SHARED] if is_shared else []),
            *repair_notes(self.look.repairs),
            *lost_notes(self.look.lost),
            *self._kept.notes,
            *(() if (cluster := self._parts.cluster) is None else version_notes(cluster.state)),
        ]

    def report(self) -> dict[str, Any]:
        """The answer to `service.status`: the status, the reasons for it, and the figures."""
        parts, look, causes = self._parts, self.look, self.causes
        leading, follower = parts.role.leading, parts.role.follower
        readers, relay = parts.readers, None if leading is None else leading.relay.state
        caches = [readers.cache] if leading is None else [readers.cache, leading.writer.statistics.cache]
        is_writing = leading is not None and leading.writer.statistics.busy_since is not None
        return {
            "status": status_of(causes),
            "reasons": [one.text for one in causes],
            "causes": causes,
            "notes": self.notes,
            "version": parts.version,
            "instance": parts.instance,
            "role": parts.role.name,
            "leader": parts.role.leader(),
            "store_id": parts.origin.store_id,
            "timeline": parts.origin.timeline,
            "aggregates": installed_figures(),
            "position": parts.role.head.position,
            "store": store_figures(look.store, self.checks, leading),
            "replication": None if follower is None else replication_figures(follower.state),
            "writer": None if leading is None else writer_figures(leading.writer, self._rate.per_second),
            "jobs": None if leading is None else job_figures(self.work.state, parts.now_ms()),
            "readers": {"open": readers.open, "in_use": readers.in_use, "maximum": readers.maximum},
            # One connection writes; each reader that is in use may have a transaction open.
            "connections": {
                "open": 1 + readers.open,
                "open_transactions": readers.in_use + is_writing,
            },
            "memory": {
                **msgspec.structs.asdict(look.memory),
                "page_caches_bytes": sum(one.used_bytes for one in caches),
            },
            "disks": look.disks,
            "room": self.room.state,
            "broker": broker_figures(parts, self.streams),
            "relay": None if relay is None else relay_figures(relay, self.lag_seconds(relay)),
            "stream_audit": None if leading is None else leading.relay.audit.state,
            "mirrors": mirror_figures(() if leading is None else leading.mirrors.state),
            "backups": look.backups,
            "archive": look.archive,
            "audit": parts.audit.figures,
            "cluster": self.cluster,
            "dropped_requests": parts.dropped_requests,
        }

    @property
    def cluster(self) -> dict[str, Any] | None:
        """The figures of the cluster that the service is a member of; `None` if it is in none."""
        if (cluster := self._parts.cluster) is None:
            return None
        return cluster_figures(cluster.state, self._parts.role.name, self.look.fork, self.look.lost)

    @property
    def durable_waiting(self) -> int | None:
        """How many durable commands wait; `None` while the broker does not answer."""
        return messages_in(self.streams, self._parts.names.commands)

    @property
    def dead_letters(self) -> int | None:
        """How many dead letters there are; `None` while the broker does not answer."""
        return messages_in(self.streams, self._parts.names.dead_letters)

    def lag_seconds(self, relay: RelayState) -> float:
        """How long the oldest event that is not published has waited."""
        oldest = relay.oldest_unpublished_at
        return 0.0 if oldest is None else max(0.0, (self._parts.now_ms() - oldest) / 1_000)

    def _commands(self) -> int:
        """How many commands have come to the writer; 0 if there is no writer."""
        return 0 if (leading := self._parts.role.leading) is None else leading.writer.statistics.commands

    def _look_around(self) -> Look:
        """A look. It waits for disks, so it runs in a thread. A disk's error is a problem of the store."""
        parts = self._parts
        is_exhausted = parts.readers.in_use >= parts.readers.maximum
        self._exhausted_looks = self._exhausted_looks + 1 if is_exhausted else 0
        store, before = self._probe.look(), self._look
        disks, lost = ([], ()) if before is None else (before.disks, before.lost)
        try:
            disks = disks_of(self._settings)
            lost = lost_events(self._settings.data)
        except OSError as error:
            # The last known figures stay in the report.
            store = msgspec.structs.replace(store, problem=store.problem or message_of(error))
        return Look(
            at=time.monotonic(),
            store=store,
            disks=disks,
            memory=memory(),
            backups=parts.backups.state,
            archive=None if (leading := parts.role.leading) is None else leading.archiver.state,
            repairs=repairs_of_a_day(self._settings.data, parts.now_ms()),
            lost=lost,
            fork=None if parts.cluster is None else last_fork(parts.readers),
        )

    async def _ask_the_broker(self) -> None:
        try:
            async with asyncio.timeout(BROKER_SECONDS):
                api = JetStreamApi(self._parts.relay_connection)
                self.streams = await stream_figures(
                    api, self._parts.names, has_log=self._settings.is_replicated
                )
        except (JetStreamError, TimeoutError):
            # The figures are unknown meanwhile; the state of the relay has the reason.
            self.streams = {}

    def _try_to_write(self) -> None:
        # A load balancer sends no commands to an unhealthy service, so it has to try by itself.
        if (leading := self._parts.role.leading) is None:
            return
        writer = leading.writer
        if writer.statistics.last_failure is not None and writer.waiting == 0:
            writer.try_again()

    def _known_position(self) -> int:
        role = self._parts.role
        published = None if (leading := role.leading) is None else leading.relay.state.position
        return max(role.head.position, published or 0)

    def _tell_changes(self) -> None:
        causes = {one.cause: one for one in self.causes}
        for name, cause in causes.items():
            if name not in self._causes:
                logger.warning("%s: %s", cause.level, cause.text, extra={"cause": name})
        for name in self._causes.keys() - causes.keys():
            logger.info("no longer: %s", self._causes[name].message, extra={"cause": name})
        self._causes = causes

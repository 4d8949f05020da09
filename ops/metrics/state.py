"""States, as families of metrics: health, store, machine, relay, broker, backups."""

from collections.abc import Iterator
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from hyperpage_client.waiting import UNTRIED
from ops.archive.archiver import ArchiveState
from ops.backup.schedule import BackupState
from ops.health.cause import status_of
from ops.health.monitor import Look, Monitor
from ops.health.room import Room
from ops.parts import Leading, Parts, Role, RoleName


def health_families(version: str, health: Monitor) -> Iterator[Metric]:
    """The status that `hyperpage status` shows, and its causes."""
    yield InfoMetricFamily("hyperpage_build", "The program that runs.", {"version": version})
    causes = health.causes
    status = GaugeMetricFamily("hyperpage_health_status", "1 for how the service is.", labels=("status",))
    for level in ("healthy", "degraded", "unhealthy"):
        status.add_metric((level,), level == status_of(causes))
    yield status
    why = GaugeMetricFamily(
        "hyperpage_health_cause", "1 for each cause why it is not healthy.", labels=("cause", "level")
    )
    for cause, level in {(one.cause, one.level) for one in causes}:
        why.add_metric((cause, level), 1)
    yield why


def role_families(role: Role) -> Iterator[Metric]:
    """The service's role among the services with its log, and how far a follower is behind."""
    named = GaugeMetricFamily("hyperpage_role", "1 for what it does now.", labels=("role",))
    for name in get_args(RoleName):
        named.add_metric((name,), name == role.name)
    yield named
    state = None if (follower := role.follower) is None else follower.state
    yield _gauge(
        "hyperpage_replication_lag_events",
        "Of one that follows: events that the log has and this service has not, as far as it knows.",
        None if state is None else state.lag,
    )
    yield _gauge(
        "hyperpage_replication_age_seconds",
        "Of one that follows: how long ago it was known to have all of the log; no sample before that.",
        None if state is None else _seconds(state.age_ms),
    )
    leading = role.leading
    trailing = None if leading is None or leading.trailing is None else leading.trailing.state
    yield _gauge(
        "hyperpage_replication_unsent_events",
        "Of one that leads with `async`: events that are answered and not in the log yet.",
        0 if trailing is None else trailing.lag_events,
    )
    yield _gauge(
        "hyperpage_replication_unsent_seconds",
        "Of one that leads with `async`: for how long the oldest of these has waited.",
        0 if trailing is None else trailing.lag_seconds,
    )


def store_families(parts: Parts, health: Monitor) -> Iterator[Metric]:
    """The store's file, the checks of it, and its readers."""
    look, readers, integrity = health.look, parts.readers, health.checks.integrity
    yield _gauge("hyperpage_log_position", "The position of the last event.", parts.role.head.position)
    yield _gauge("hyperpage_timeline", "The timeline; a restore begins a new one.", parts.origin.timeline)
    yield _gauge("hyperpage_store_size_bytes", "The size of the store.", look.store.size_bytes)
    yield _gauge(
        "hyperpage_store_free_bytes", "What is free inside it, and used first.", look.store.free_bytes
    )
    yield _gauge("hyperpage_wal_size_bytes", "The size of the WAL beside it.", look.store.wal_bytes)
    if look.store.query_ms is not None:
        yield _gauge(
            "hyperpage_probe_query_seconds",
            "How long it takes to read one row, at the last looks.",
            look.store.query_ms / 1_000,
        )
    if integrity.checked_at is not None:
        yield _gauge(
            "hyperpage_integrity_check_timestamp_seconds",
            "When SQLite last checked the store.",
            integrity.checked_at / 1_000,
        )
    chain = health.checks.chain.state
    yield _gauge(
        "hyperpage_chain_checked_position",
        "The last event whose hash was recomputed in this round.",
        chain.position,
    )
    if chain.whole_at is not None:
        yield _gauge(
            "hyperpage_chain_check_timestamp_seconds",
            "When the hash of every event was last recomputed.",
            chain.whole_at / 1_000,
        )
    yield _gauge("hyperpage_reader_connections_open", "Reading connections that are open.", readers.open)
    yield _gauge("hyperpage_reader_connections_in_use", "Those that read just now.", readers.in_use)
    yield _gauge("hyperpage_reader_connections_limit", "How many there may be.", readers.maximum)
    lookups = CounterMetricFamily(
        "hyperpage_page_cache_lookups",
        "Pages that were looked for in SQLite's caches, by connections and result.",
        labels=("connections", "result"),
    )
    memory = GaugeMetricFamily(
        "hyperpage_page_cache_bytes", "The memory of SQLite's page caches.", labels=("connections",)
    )
    caches = {"readers": readers.cache}
    if (leading := parts.role.leading) is not None:
        caches["writer"] = leading.writer.statistics.cache
    for connections, cache in caches.items():
        lookups.add_metric((connections, "hit"), cache.hits)
        lookups.add_metric((connections, "miss"), cache.misses)
        memory.add_metric((connections,), cache.used_bytes)
    yield lookups
    yield memory


def machine_families(look: Look) -> Iterator[Metric]:
    """The space on disks, and the memory limit."""
    free = GaugeMetricFamily(
        "hyperpage_disk_free_bytes", "Free on the disk, by what it is used for.", labels=("used_for",)
    )
    size = GaugeMetricFamily("hyperpage_disk_size_bytes", "The size of that disk.", labels=("used_for",))
    for disk in look.disks:
        for used_for in disk.used_for:
            free.add_metric((used_for,), disk.free_bytes)
            size.add_metric((used_for,), disk.total_bytes)
    yield free
    yield size
    yield _gauge(
        "hyperpage_memory_limit_bytes", "What the container or the machine has.", look.memory.limit_bytes
    )


def room_families(room: Room) -> Iterator[Metric]:
    """The space that each part takes on disk, and how fast it grows; measured once an hour."""
    size = GaugeMetricFamily("hyperpage_room_bytes", "What each part takes on disk.", labels=("part",))
    growth = GaugeMetricFamily(
        "hyperpage_room_growth_bytes",
        "By how much each part grows in a day; no sample before that is known.",
        labels=("part",),
    )
    for part in room.parts:
        size.add_metric((part.part,), part.size_bytes)
        if part.growth_bytes_a_day is not None:
            growth.add_metric((part.part,), part.growth_bytes_a_day)
    full = GaugeMetricFamily(
        "hyperpage_disk_full_timestamp_seconds",
        "When a disk will be full, if it fills as in the last day; no sample where that is far off.",
        labels=("folder",),
    )
    for disk in room.disks:
        if disk.full_at is not None:
            full.add_metric((disk.folder,), disk.full_at / 1_000)
    yield from (size, growth, full)


def relay_families(leading: Leading, health: Monitor) -> Iterator[Metric]:
    """The progress of the relay, of the check of the stream, and of the mirrors."""
    relay = leading.relay.state
    yield _gauge("hyperpage_relay_healthy", "Whether events are published: 1 or 0.", relay.healthy)
    yield _gauge("hyperpage_relay_lag_events", "Events that are not published yet.", relay.lag)
    yield _gauge(
        "hyperpage_relay_lag_seconds",
        "For how long the oldest of them has waited.",
        health.lag_seconds(relay),
    )
    audit = leading.relay.audit.state
    yield _gauge(
        "hyperpage_stream_audit_sequence",
        "The last message of the stream of events that was compared with the log.",
        audit.sequence,
    )
    yield _gauge(
        "hyperpage_stream_audit_timestamp_seconds",
        "When a comparison of all of them came to the end.",
        _seconds(audit.whole_at),
    )
    yield _gauge(
        "hyperpage_stream_differing_messages",
        "Those that are not what the log says, or that are gone.",
        max(audit.differing, audit.deleted),
    )
    waiting = GaugeMetricFamily(
        "hyperpage_mirror_waiting_keys", "Keys that are not written yet, by bucket.", labels=("bucket",)
    )
    for mirror in leading.mirrors.state:
        waiting.add_metric((mirror.bucket,), mirror.waiting)
    yield waiting


def broker_families(parts: Parts, health: Monitor) -> Iterator[Metric]:
    """The nats-server, its streams and the messages that wait there. Unknown values have no sample."""
    server, leading = parts.nats_server, parts.role.leading
    yield _gauge("hyperpage_broker_connected", "Whether it is connected: 1 or 0.", parts.is_connected)
    yield CounterMetricFamily(
        "hyperpage_broker_restarts",
        "How often the embedded nats-server was started again.",
        0 if server is None else server.restarts,
    )
    yield _gauge(
        "hyperpage_durable_commands_waiting",
        "Durable commands that are not answered yet.",
        health.durable_waiting,
    )
    yield _gauge(
        "hyperpage_dead_letters", "Durable commands that could not be processed.", health.dead_letters
    )
    yield CounterMetricFamily(
        "hyperpage_dead_letters_not_kept",
        "Messages that are no command, and for which there was no room there.",
        0 if leading is None else leading.durable.unkept_letters,
    )
    size, limit, consumers, subjects = (
        GaugeMetricFamily(name, said, labels=("stream",))
        for name, said in (
            ("hyperpage_stream_size_bytes", "The bytes that a stream on the broker has."),
            ("hyperpage_stream_limit_bytes", "The bytes that it may have; no sample where it may have any."),
            ("hyperpage_stream_consumers", "The consumers that it has."),
            ("hyperpage_stream_subjects", "The subjects of its messages, for which nats-server has memory."),
        )
    )
    for name, stream in health.streams.items():
        size.add_metric((name,), stream.size_bytes)
        if stream.limit_bytes is not None:
            limit.add_metric((name,), stream.limit_bytes)
        consumers.add_metric((name,), stream.consumers)
        subjects.add_metric((name,), stream.subjects)
    yield from (size, limit, consumers, subjects)


def backup_families(backups: BackupState) -> Iterator[Metric]:
    """Backups. Without a backup, the times have no sample."""
    yield _gauge("hyperpage_backups", "Backups that are there.", backups.count)
    yield _gauge(
        "hyperpage_backup_failed",
        "Whether the last attempt to make, verify or prove one failed: 1 or 0.",
        backups.failure is not None,
    )
    yield _gauge(
        "hyperpage_backup_last_timestamp_seconds",
        "When the newest backup was made.",
        _seconds(backups.last_at),
    )
    yield _gauge(
        "hyperpage_backup_last_proven_timestamp_seconds",
        "When the newest one was made that is proven to be restorable.",
        _seconds(backups.last_proven_at),
    )


def archive_families(archive: ArchiveState) -> Iterator[Metric]:
    """The archive, and how far it is behind the log."""
    yield _gauge(
        "hyperpage_archive_healthy",
        "Whether the archive is written: 1 or 0.",
        archive.problem in (None, UNTRIED),
    )
    yield _gauge("hyperpage_archive_lag_events", "Events that it has not yet.", archive.lag_events)
    yield _gauge(
        "hyperpage_archive_lag_seconds", "For how long the oldest of them has waited.", archive.lag_seconds
    )
    yield _gauge(
        "hyperpage_archive_outside", "Whether it is on another disk than the store: 1 or 0.", archive.outside
    )


def _gauge(name: str, help_text: str, value: float | None) -> Metric:
    """A gauge; without a sample if its value is `None`."""
    return GaugeMetricFamily(name, help_text, value)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1_000

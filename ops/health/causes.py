"""The causes that make a service degraded or unhealthy: all of them; `docs/operating.md` explains each.

*Unhealthy* is a service that cannot do what it is there for: commands are not answered, or events do not go
out. *Degraded* is one that does, and that somebody should look at before it no longer does.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from bus.contract.subjects import BusNames
from bus.log.damage import Damage
from bus.log.reader_pool import ReaderPool
from bus.publishing.mirror import MirrorState
from bus.publishing.relay import RelayState
from bus.publishing.stream_audit import AuditState
from bus.publishing.stream_state import how_to_refill
from bus.serving.dead_letters import UNREADABLE_SHARE
from bus.serving.queries.turns import Turns
from bus.waiting import UNTRIED
from bus.writing.waiting import MAXIMUM_WAITING_COMMANDS
from bus.writing.writer import Writer
from ops.archive.archiver import ArchiveState
from ops.audit.recorder import Recorder
from ops.backup.schedule import BackupState
from ops.backup.verdict import Verdict
from ops.health.access import AccessStanding
from ops.health.machine import MIB, Disk, Memory
from ops.health.room import Room
from ops.health.store import StoreLook
from ops.health.streams import StreamFigures
from ops.parts import Parts
from ops.settings import Settings

HealthLevel = Literal["degraded", "unhealthy"]

# A clock set back by less is nothing unusual: time synchronisation does that.
CLOCK_BEHIND_MS = 10_000
# What was refused so long ago is told still: a look comes every few seconds.
BUSY_SECONDS = 5.0
# Half of the queue. Commands leave it within milliseconds, so a queue of this length is one that grows.
WAITING_DEGRADED = MAXIMUM_WAITING_COMMANDS // 2
# In intervals of the drill, one day by default: after two, a drill was missed.
STALE_DRILLS = 2
# The archive is promised to be 2 s behind at most; a bucket that is slow once is no cause.
ARCHIVE_BEHIND_SECONDS = 10.0
# Time to order a disk, or to look through what may go.
FULL_SOON_MS = 3 * 24 * 3_600_000
# Of the bytes that a stream may have. A message that does not fit leaves some of them free.
NEARLY_FULL = 0.8
# The memory of nats-server for each subject in a file-backed stream, measured with 600,000.
BYTES_A_SUBJECT = 256


class Cause(msgspec.Struct, frozen=True):
    """One reason why the service is not healthy. `cause` is a name that stays; `hint` is what to do."""

    cause: str
    level: HealthLevel
    message: str
    hint: str = ""

    @property
    def text(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


def broker_causes(parts: Parts) -> Iterator[Cause]:
    """Causes between the service and the nats-server."""
    failure = None if parts.nats_server is None else parts.nats_server.failure
    if failure is not None:
        yield Cause("nats_server_down", "unhealthy", f"the embedded nats-server is down: {failure}")
    elif not parts.is_connected:
        yield Cause("nats_disconnected", "unhealthy", "there is no connection to the nats-server")


def relay_causes(relay: RelayState, settings: Settings, now_ms: int) -> Iterator[Cause]:
    """Causes for which subscribers do not hear of what was stored."""
    if not relay.healthy:
        yield Cause(
            "relay_stopped", "unhealthy", f"the relay publishes nothing: {relay.problem}", relay.repair or ""
        )
    elif relay.oldest_unpublished_at is not None:
        behind_seconds = (now_ms - relay.oldest_unpublished_at) / 1_000
        if behind_seconds > settings.relay_lag_degraded_seconds:
            yield Cause(
                "relay_behind",
                "degraded",
                f"the relay is {behind_seconds:.1f} s and {relay.lag} events behind",
                "it catches up by itself; if it does not, the nats-server is too slow",
            )


def audit_of_stream_causes(audit: AuditState, stream: str) -> Iterator[Cause]:
    """Causes in messages of the stream of events that are not what the log says."""
    if not (audit.differing or audit.deleted):
        return
    said = [one.problem for one in audit.differences[:1]]
    if audit.differing > 1:
        said.append(f"{audit.differing - 1} more are not as the log says")
    if audit.deleted:
        said.append(f"{audit.deleted} are gone, and no limit says why")
    yield Cause(
        "stream_differs",
        "degraded",
        f"the messages of {stream} are not those of the log: {'; '.join(said)}",
        f"who follows them misses something, or reads the log instead; {how_to_refill(stream)}",
    )


def subject_causes(streams: Mapping[str, StreamFigures], settings: Settings) -> Iterator[Cause]:
    """Causes in the memory that nats-server needs for subjects: each event has one of its own, nearly."""
    subjects = sum(one.subjects for one in streams.values())
    memory_bytes = subjects * BYTES_A_SUBJECT
    if memory_bytes > settings.subjects_degraded_mib * MIB:
        yield Cause(
            "many_subjects",
            "degraded",
            f"nats-server keeps some {memory_bytes // MIB} MiB of memory for {subjects} subjects",
            "have the stream of events keep less, by HYPERPAGE_EVENTS_KEPT_DAYS or"
            " HYPERPAGE_EVENTS_STREAM_MIB: the log has all; or raise HYPERPAGE_SUBJECTS_DEGRADED_MIB",
        )


def stream_causes(
    streams: Mapping[str, StreamFigures], names: BusNames, *, has_unkept_letters: bool
) -> Iterator[Cause]:
    """Causes in streams that are nearly as large as they may be."""
    commands, results = streams.get(names.commands), streams.get(names.results)
    letters, log = streams.get(names.dead_letters), streams.get(names.log)
    if log is not None and log.is_filled_to(NEARLY_FULL):
        yield Cause(
            "log_stream_full",
            "degraded",
            f"the log of the cluster takes {log.room}; once it is full, commands are refused",
            "a proven backup lets what is older go: `hyperpage backup create`, then `hyperpage backup drill`;"
            " or raise HYPERPAGE_REPLICATION_LOG_MIB",
        )
    if commands is not None and commands.is_filled_to(NEARLY_FULL):
        yield Cause(
            "commands_stream_full",
            "degraded",
            f"durable commands take {commands.room}; the broker refuses more, and tells their senders",
            "it shrinks as they are carried out; else raise HYPERPAGE_COMMANDS_STREAM_MIB",
        )
    if results is not None and results.is_filled_to(NEARLY_FULL):
        yield Cause(
            "results_stream_full",
            "degraded",
            f"the answers to durable commands take {results.room}, so that the oldest go before their time",
            "whoever misses one sends the command again under its id; raise HYPERPAGE_RESULTS_STREAM_MIB",
        )
    if letters is not None and letters.is_filled_to(UNREADABLE_SHARE * NEARLY_FULL):
        yield Cause(
            "dead_letters_full",
            "degraded",
            f"dead letters take {letters.room}, and messages that are no command are kept to the half of that"
            + (", of which some were answered and not kept" if has_unkept_letters else ""),
            "`hyperpage dlq list`, and replay or drop them; or raise HYPERPAGE_DEAD_LETTERS_STREAM_MIB",
        )
    for name, stream in streams.items():
        if stream.limit_consumers is not None and stream.consumers >= stream.limit_consumers:
            yield Cause(
                "consumers_full",
                "degraded",
                f"{name} has {stream.consumers} consumers, and takes no more",
                "delete those that nobody uses (`nats consumer report`), or raise HYPERPAGE_STREAM_CONSUMERS",
            )


def mirror_causes(mirrors: Sequence[MirrorState]) -> Iterator[Cause]:
    """Causes in the KV buckets."""
    for one in mirrors:
        if not one.healthy:
            yield Cause("mirror_stopped", "degraded", f"the mirror {one.bucket} is not kept: {one.problem}")


def writer_causes(writer: Writer, settings: Settings) -> Iterator[Cause]:
    """Causes that keep commands from being stored."""
    statistics, stalled_seconds = writer.statistics, writer.stalled_seconds
    if not writer.is_alive:
        yield Cause("writer_stopped", "unhealthy", "nothing writes to the store any more", "restart it")
    if statistics.last_failure is not None:
        yield Cause(
            "store_not_writable", "unhealthy", f"the store cannot be written: {statistics.last_failure}"
        )
    if stalled_seconds > settings.writer_stalled_seconds:
        yield Cause(
            "writer_stalled",
            "unhealthy",
            f"the writer has been at one group of commands, or one repair, for {stalled_seconds:.0f} s",
            "a disk that does not answer, a log of the cluster that does not, another program that holds the"
            " store's lock, or a rebuild",
        )
    queue = writer.queue
    if (is_busy := queue.has_turned_away_within(BUSY_SECONDS)) or queue.commands > WAITING_DEGRADED:
        yield Cause(
            "commands_queue_up",
            "degraded",
            f"{queue.commands} commands wait{', and some were refused as busy' if is_busy else ''}",
            "more come than can be done: send fewer, or batches",
        )
    if statistics.upkeep_failure is not None:
        yield Cause(
            "upkeep_stopped",
            "degraded",
            f"no job is rescued and no schedule is run: {statistics.upkeep_failure}",
        )


def clock_causes(error_ms: int) -> Iterator[Cause]:
    """Causes in a clock that is so far ahead (or, negative, behind) of the service's own time."""
    if error_ms < -CLOCK_BEHIND_MS:
        yield Cause(
            "clock_behind",
            "degraded",
            f"the clock is {-error_ms / 1_000:.0f} s behind the last event; time goes on from that",
            "set the clock; or, if it was ahead by mistake, restore the store to a moment before that",
        )
    if error_ms > CLOCK_BEHIND_MS:
        yield Cause(
            "clock_jumped",
            "degraded",
            f"the clock jumped ahead by {error_ms / 1_000:.0f} s, which is not believed for ten minutes",
            "set the clock; if it is right, restart the service, or wait",
        )


def store_causes(
    look: StoreLook,
    damage: Damage,
    verdict: Verdict | None,
    *,
    look_age_seconds: float,
    look_late_seconds: float,
) -> Iterator[Cause]:
    """Causes in the file."""
    if look_age_seconds > look_late_seconds:
        yield Cause(
            "store_unreadable",
            "unhealthy",
            f"the disks have not answered for {look_age_seconds:.0f} s",
            "what stands here may be as old",
        )
    if look.problem is not None:
        yield Cause("store_unreadable", "unhealthy", f"the store cannot be read: {look.problem}")
    if damage.problem is not None:
        yield Cause(
            "store_damaged",
            "unhealthy",
            f"the store is damaged: {damage.problem}" if verdict is None else verdict.message,
            "all of it, and of its copies, is being looked at" if verdict is None else verdict.hint,
        )
    if look.migrations is not None:
        yield Cause(
            "migrations_differ",
            "unhealthy",
            f"the store has not the shape that this program writes: {look.migrations}",
            "stop the service, `hyperpage migrate status`, and start it again",
        )


def reading_causes(
    look: StoreLook, readers: ReaderPool, turns: Turns, settings: Settings, *, are_readers_exhausted: bool
) -> Iterator[Cause]:
    """Causes that make queries slow."""
    if turns.has_turned_away_within(BUSY_SECONDS):
        yield Cause(
            "queries_queue_up",
            "degraded",
            f"{turns.waiting} queries wait, and some were refused as busy",
            "more come than can be answered: ask less often, or follow the events",
        )
    if are_readers_exhausted:
        yield Cause(
            "readers_exhausted",
            "degraded",
            f"{readers.in_use} of {readers.maximum} reading connections are in use, and queries wait",
            "raise HYPERPAGE_READER_CONNECTIONS, or ask for smaller pages",
        )
    if look.query_ms is not None and look.query_ms > settings.query_latency_degraded_ms:
        yield Cause(
            "queries_slow",
            "degraded",
            f"reading one row takes {look.query_ms:.1f} ms",
            "look at the load of processors and disks",
        )
    if look.wal_bytes > settings.wal_degraded_mib * MIB:
        yield Cause(
            "wal_large",
            "degraded",
            f"the WAL has {look.wal_bytes // MIB} MiB",
            "something reads the store for long: a backup, a check, another program; it shrinks afterwards",
        )


def machine_causes(disks: Sequence[Disk], memory: Memory, settings: Settings) -> Iterator[Cause]:
    """Where room gets scarce."""
    for disk in disks:
        free_mib = disk.free_bytes // MIB
        where = f"{free_mib} MiB are free on the disk of {disk.folder} ({', '.join(disk.used_for)})"
        if free_mib < settings.disk_free_unhealthy_mib:
            yield Cause("disk_full", "unhealthy", f"only {where}", "make room now: commands will be refused")
        elif free_mib < settings.disk_free_degraded_mib:
            yield Cause("disk_low", "degraded", f"only {where}", "make room, or move backups and archive")
    percent = 100 * memory.resident_bytes / memory.limit_bytes
    if percent > settings.memory_degraded_percent:
        yield Cause(
            "memory_high",
            "degraded",
            f"{memory.resident_bytes // MIB} MiB of memory are in use, {percent:.0f} % of what there is",
            "lower HYPERPAGE_HOT_AGGREGATES_KIB and HYPERPAGE_WRITER_CACHE_KIB, or give it more",
        )


def room_causes(room: Room, now_ms: int) -> Iterator[Cause]:
    """Disks that will soon be full."""
    for disk in room.disks:
        if disk.full_at is None or disk.full_at - now_ms > FULL_SOON_MS:
            continue
        hours = max(0, disk.full_at - now_ms) // 3_600_000
        yield Cause(
            "disk_filling",
            "degraded",
            f"the disk of {disk.folder} is full in {hours} hours, if it goes on as in the last day:"
            f" {(disk.growth_bytes_a_day or 0) // MIB} MiB a day, and {disk.free_bytes // MIB} MiB are free",
            "`hyperpage status` tells what grows; make room, or keep less: of backups, jobs, or the streams",
        )


def backup_causes(backups: BackupState, *, now_ms: int, began_ms: int, settings: Settings) -> Iterator[Cause]:
    """Causes for which a restore would lose something, or may not succeed."""
    if backups.failure is not None:
        yield Cause("backup_failed", "degraded", backups.failure, "`hyperpage backup list` shows the others")
    if backups.stale:
        yield Cause(
            "backup_overdue", "degraded", "the last backup is older than twice the interval between two"
        )
    drill_ms = settings.backup_drill_hours * 3_600_000
    if backups.last is not None and drill_ms > 0:
        since_ms = now_ms - max(backups.last_proven_at or 0, began_ms)
        if since_ms > STALE_DRILLS * drill_ms:
            yield Cause(
                "backup_unproven",
                "degraded",
                f"no backup of the last {since_ms // 3_600_000} hours is proven to be restorable",
                "`hyperpage backup drill`",
            )


def archive_causes(archive: ArchiveState) -> Iterator[Cause]:
    """Causes for which a restore would lose what came behind the last backup."""
    if archive.problem not in (None, UNTRIED):
        yield Cause("archive_stopped", "degraded", f"the archive is not kept: {archive.problem}")
    elif archive.lag_seconds > ARCHIVE_BEHIND_SECONDS:
        yield Cause(
            "archive_behind",
            "degraded",
            f"the archive is {archive.lag_seconds:.0f} s and {archive.lag_events} events behind",
            "its disk, or the way to its bucket, is too slow",
        )
    if archive.cut is not None:
        yield Cause(
            "archive_cut",
            "degraded",
            f"the end of the archive was cut off, and written again from the log: {archive.cut}",
            "see who can delete there; this stays until the service is started again",
        )


def access_causes(standing: AccessStanding) -> Iterator[Cause]:
    """Causes that keep callers out."""
    if standing.problem is not None:
        yield Cause(
            "tokens_unknown",
            "degraded",
            f"nobody is let in over HTTP by a token: {standing.problem}",
            "put the file back as it was, or move it away and make new ones with `hyperpage token create`",
        )


def audit_causes(audit: Recorder) -> Iterator[Cause]:
    """Causes for which acts are not recorded."""
    if audit.problem is not None:
        yield Cause(
            "audit_stopped",
            "degraded",
            f"{audit.problem}; acts of operators are refused, unless they make room",
            "make room on its disk, or see who else may write there",
        )


def status_of(causes: list[Cause]) -> HealthLevel | str:
    """The worst level among causes; `healthy` if there is none."""
    levels = {one.level for one in causes}
    return "unhealthy" if "unhealthy" in levels else "degraded" if "degraded" in levels else "healthy"

"""The causes that make a service degraded or unhealthy, except those in its streams and its cluster.

`docs/operating.md` explains each.
"""

from collections.abc import Iterator, Sequence

from bus.log.damage import Damage
from bus.log.reader_pool import ReaderPool
from bus.serving.queries.turns import Turns
from bus.writing.waiting import MAXIMUM_WAITING_COMMANDS
from bus.writing.writer import Writer
from domain.counting import counted
from hyperpage_client.waiting import UNTRIED
from ops.archive.archiver import ArchiveState
from ops.audit.recorder import Recorder
from ops.backup.schedule import BackupState
from ops.backup.verdict import Verdict
from ops.health.access import AccessStanding
from ops.health.cause import Cause
from ops.health.machine import MIB, Disk, Memory
from ops.health.room import Room
from ops.health.store import StoreLook
from ops.settings import Settings

# A clock that is set back by less is nothing unusual: time synchronisation does that.
CLOCK_BEHIND_MS = 10_000
# A refusal counts as a cause for this long: the health is looked at every few seconds.
BUSY_SECONDS = 5.0
# Half of the queue's room. Commands leave it within milliseconds, so a queue of this length is growing.
WAITING_DEGRADED = MAXIMUM_WAITING_COMMANDS // 2
# In intervals of the drill, which is one day by default: after two, a drill was missed.
STALE_DRILLS = 2
# The archive is promised to be 2 s behind at most; but a bucket that is slow once is no cause.
ARCHIVE_BEHIND_SECONDS = 10.0
# A disk that is full sooner than this is a cause: time to order a disk, or to find files that may go.
FULL_SOON_MS = 3 * 24 * 3_600_000


def writer_causes(writer: Writer, settings: Settings) -> Iterator[Cause]:
    """Causes in the writer: commands are not stored, or late."""
    statistics, stalled_seconds = writer.statistics, writer.stalled_seconds
    if not writer.is_alive:
        yield Cause(
            "writer_stopped", "unhealthy", "nothing writes to the store any more", "restart the service"
        )
    if statistics.last_failure is not None:
        yield Cause(
            "store_not_writable",
            "unhealthy",
            f"the store cannot be written: {statistics.last_failure}",
            "make room on its disk, or end the program that holds its lock: it is tried again"
            " every few seconds",
        )
    if stalled_seconds > settings.writer_stalled_seconds:
        yield Cause(
            "writer_stalled",
            "unhealthy",
            f"the writer has been at one group of commands, or one repair, for {stalled_seconds:.0f} s",
            "see what holds it: a disk that does not answer, a log of the cluster that does not, another"
            " program that holds the store's lock, or a rebuild",
        )
    queue = writer.queue
    if (is_busy := queue.has_turned_away_within(BUSY_SECONDS)) or queue.commands > WAITING_DEGRADED:
        yield Cause(
            "commands_queue_up",
            "degraded",
            counted(queue.commands, "command waits", "commands wait")
            + (", and some were refused as busy" if is_busy else ""),
            "more come than can be done: send fewer, or batches",
        )
    if statistics.upkeep_failure is not None:
        yield Cause(
            "upkeep_stopped",
            "degraded",
            "not all is done of the service's own accord: jobs may not be rescued, nor schedules run:"
            f" {statistics.upkeep_failure}",
            "it is tried again by itself; if it stays so, `hyperpage doctor` looks at all of the store",
        )


def clock_causes(error_ms: int) -> Iterator[Cause]:
    """Causes in the machine's clock, which is `error_ms` ahead of the service's time (negative: behind)."""
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
    """Causes in the store's file."""
    if look_age_seconds > look_late_seconds:
        yield Cause(
            "store_unreadable",
            "unhealthy",
            f"the disks have not answered for {look_age_seconds:.0f} s",
            "look at the disk (`dmesg`); what stands here may be as old",
        )
    if look.problem is not None:
        yield Cause(
            "store_unreadable",
            "unhealthy",
            f"the store cannot be read: {look.problem}",
            "look at the disk (`dmesg`) and at who else has the file; then `hyperpage doctor`",
        )
    if damage.problem is not None:
        yield Cause(
            "store_damaged",
            "unhealthy",
            f"the store is damaged: {damage.problem}" if verdict is None else verdict.message,
            "wait: all of it, and of its copies, is being looked at, and then it says what to do"
            if verdict is None
            else verdict.hint,
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
            f"{counted(turns.waiting, 'query waits', 'queries wait')}, and some were refused as busy",
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
    """Causes in little room on a disk or in memory."""
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
    """Causes in disks that will soon be full."""
    for disk in room.disks:
        if disk.full_at is None or disk.full_at - now_ms > FULL_SOON_MS:
            continue
        hours = max(0, disk.full_at - now_ms) // 3_600_000
        yield Cause(
            "disk_filling",
            "degraded",
            f"the disk of {disk.folder} is full in {counted(hours, 'hour')}, if it goes on as in the last"
            " day:"
            f" {(disk.growth_bytes_a_day or 0) // MIB} MiB a day, and {disk.free_bytes // MIB} MiB are free",
            "`hyperpage status` tells what grows; make room, or keep less: of backups, jobs, or the streams",
        )


def backup_causes(backups: BackupState, *, now_ms: int, began_ms: int, settings: Settings) -> Iterator[Cause]:
    """Causes in the backups: a restore would lose events, or may not succeed."""
    if backups.failure is not None:
        yield Cause(
            "backup_failed",
            "degraded",
            backups.failure,
            "`hyperpage backup list` shows the others; `hyperpage backup create` makes another one",
        )
    if backups.stale:
        yield Cause(
            "backup_overdue",
            "degraded",
            "the last backup is older than twice the interval between two",
            "the log of the service says why; `hyperpage backup create` makes one",
        )
    drill_ms = settings.backup_drill_hours * 3_600_000
    if backups.last is not None and drill_ms > 0:
        since_ms = now_ms - max(backups.last_proven_at or 0, began_ms)
        if since_ms > STALE_DRILLS * drill_ms:
            yield Cause(
                "backup_unproven",
                "degraded",
                f"no backup of the last {counted(since_ms // 3_600_000, 'hour')} is proven to be restorable",
                "`hyperpage backup drill` makes a store of the newest one, and compares",
            )


def archive_causes(archive: ArchiveState) -> Iterator[Cause]:
    """Causes in the archive: a restore would lose events behind the last backup."""
    if archive.problem not in (None, UNTRIED):
        yield Cause(
            "archive_stopped",
            "degraded",
            f"the archive is not kept: {archive.problem}",
            "it is filled up by itself once it can be written: see its disk, or its bucket",
        )
    elif archive.lag_seconds > ARCHIVE_BEHIND_SECONDS:
        yield Cause(
            "archive_behind",
            "degraded",
            f"the archive is {archive.lag_seconds:.0f} s and {counted(archive.lag_events, 'event')} behind",
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
    """Causes that keep users of HTTP out."""
    if standing.problem is not None:
        yield Cause(
            "tokens_unknown",
            "degraded",
            f"nobody is let in over HTTP by a token: {standing.problem}",
            "put the file back as it was, or move it away and make new ones with `hyperpage token create`",
        )


def audit_causes(audit: Recorder) -> Iterator[Cause]:
    """Causes in the audit log: acts of operators cannot be recorded."""
    if audit.problem is not None:
        yield Cause(
            "audit_stopped",
            "degraded",
            f"{audit.problem}; acts of operators are refused, unless they make room",
            "make room on its disk, or see who else may write there",
        )

"""A store's file as it was at a moment, made from a backup: `materialize`."""

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec

from bus.log import chain
from bus.log.answers import index_ids
from domain.catalogue import TIMELINE_FORKED, TIMELINE_STREAM
from migrations import runner
from migrations.connection import distrust, write_transaction
from migrations.from_disk import forget
from ops.archive.replay import replay
from ops.archive.segment import Segment
from ops.backup.copying import COPY_BYTES, TOLD_BYTES
from ops.backup.metadata import Backup
from ops.backup.opening import checksum_differs, require_room
from ops.backup.restoring.going_on import GoingOn, keep_timelines
from ops.backup.restoring.restore_path import RestorePath
from ops.backup.sound import file_checksum, head_at, open_sealed, require_chain, sound_beside
from ops.backup.verify import require_content
from ops.progress import Progress
from ops.store.projections_check import rebuild_file
from ops.targets.errors import TABLES_DIFFER, BackupError
from ops.targets.regular_files import open_regular
from ops.targets.sealing import Identities
from ops.targets.signing import ANYBODYS, Signing
from ops.targets.target import sync_file
from projections import installed_tables

logger = logging.getLogger(__name__)


class Made(NamedTuple):
    """A store that was made: the last position of its sources, and the number of segments by signature."""

    position: int
    signatures: Counter[str]


def materialize(
    restore_path: RestorePath,
    work: Path,
    *,
    timeline: int,
    now_ms: int,
    identities: Identities = (),
    as_it_is: bool = False,
    signing: Signing = ANYBODYS,
    going_on: GoingOn | None = None,
    same_as: chain.Head | None = None,
    keeps_leases: bool = False,
    progress: Progress,
) -> Made:
    """Makes a store in the file `work`: first the backup, then the archive, then a fork.

    The backup of the path is a plain local file; see `opened`. It is copied, and the whole copy is checked as
    `verify_backup` does it, from the first event on: the backup's own metadata may be forged. `identities`
    open the archive. The tables are rebuilt from the log; with `as_it_is`, the backup's tables are kept, to
    be compared. The file is closed, sealed and on disk when this returns. With `going_on`, all later events
    are appended, too. If the log must be the `same_as` another one, it gets no fork: no event is given up,
    and positions keep their meaning. Leases are given up, unless it `keeps_leases`.

    Raises:
        BackupError: the backup or a segment is not sound, the tables cannot be made to agree with the log, or
            the log does not end as it should.
    """
    remove_leftovers(work)
    if restore_path.backup is not None:
        _copy(restore_path.backup, work, progress)
    with closing(apsw.Connection(str(work))) as connection:
        distrust(connection)
        # No syncing here: the file counts only once it is put in its place as a whole.
        connection.pragma("synchronous", "off")
        connection.pragma("journal_mode", "memory")
        migrated = [*runner.up(connection), *_tables_of_aggregates(connection)]
        if restore_path.backup is None:
            connection.execute("INSERT INTO store VALUES (?, ?)", (restore_path.store_id, now_ms))
        index_ids(connection)
        if going_on is None:
            signatures = _go_on_with_the_archive(connection, restore_path, identities, signing, progress)
            position = restore_path.position
        else:
            signatures = going_on.go_on(connection, restore_path)
            position = _reached(connection, restore_path, same_as)
        _take_late_answers(connection, restore_path, identities, signing)
        with write_transaction(connection):
            _cut(connection, position, keeps_leases=keeps_leases)
            keep_timelines(connection, restore_path.timelines)
            if same_as is None:
                _fork(connection, position, timeline, now_ms)
            index_ids(connection)
    work.chmod(0o600)
    is_checked = as_it_is and not migrated
    if not is_checked:
        progress("tables", 0, 1)
        _make_tables(work, restore_path.begins_with)
    seal(work)
    _require_made(work, position, is_checked=is_checked, ends=position + (same_as is None))
    return Made(position, signatures)


def _tables_of_aggregates(connection: apsw.Connection) -> list[str]:
    with write_transaction(connection):
        # They are filled together with all other tables, once the log ends where it must.
        return installed_tables.bring_up_to_date(connection, fills=False)


def cut_back(work: Path, position: int) -> None:
    """Cuts off the end of a store that is not in use, with no fork: the later events come from elsewhere.

    Leases are given up. The file is closed, sealed and on disk when this returns.

    Raises:
        BackupError: it is not sound, or its tables cannot be made to agree with its log.
    """
    with closing(apsw.Connection(str(work))) as connection:
        distrust(connection)
        connection.pragma("synchronous", "off")
        connection.pragma("journal_mode", "memory")
        with write_transaction(connection):
            _cut(connection, position, keeps_leases=False)
            # A log without events is on the first timeline.
            keep_timelines(connection, ((1, 1),))
            index_ids(connection)
        _tables_of_aggregates(connection)
    _make_tables(work, work.name)
    seal(work)
    _require_made(work, position, is_checked=False, ends=position)


def remove_leftovers(work: Path) -> None:
    """Removes files of a killed restore, above all its WAL, which SQLite would apply to the new file."""
    for leftover in work.parent.glob(f"{work.name}*"):
        leftover.unlink()


def _make_tables(work: Path, begins_with: str) -> None:
    if not rebuild_file(work)["equal"] and not rebuild_file(work)["equal"]:
        raise BackupError(TABLES_DIFFER, f"the tables of {begins_with} cannot be made from its log")


def _reached(connection: apsw.Connection, restore_path: RestorePath, same_as: chain.Head | None) -> int:
    """The last position of the log. It has all events of the log that it must be the `same_as`."""
    head = chain.read_head(connection)
    if same_as is not None and head_at(connection, same_as.position).hash != same_as.hash:
        raise BackupError(
            "unreachable_moment",
            f"backups, archive and what is left of the store lead to position {head.position},"
            f" and not to the end that the log had, {same_as.position}",
        )
    if head.position == 0 and restore_path.from_nothing:
        raise BackupError("not_found", "neither backups nor archive nor the present store have an event")
    return head.position


def _go_on_with_the_archive(
    connection: apsw.Connection,
    restore_path: RestorePath,
    identities: Identities,
    signing: Signing,
    progress: Progress,
) -> Counter[str]:
    """Replays the segments of the path; counts them by their signature, in words."""
    signatures: Counter[str] = Counter()
    for number, stretch in enumerate(restore_path.stretches):
        progress("archive", number, len(restore_path.stretches))
        try:
            whose = replay(connection, stretch, restore_path.store_id, identities, signing)
        except BackupError as error:
            raise without_segment(error, stretch.segment, chain.read_head(connection).position) from error
        signatures[str(whose)] += 1
    return signatures


def _take_late_answers(
    connection: apsw.Connection, restore_path: RestorePath, identities: Identities, signing: Signing
) -> None:
    for stretch in restore_path.late_answers:
        try:
            replay(connection, stretch, restore_path.store_id, identities, signing)
        except BackupError as error:
            # All events and tables of the moment are here: a restore without these answers beats none.
            logger.warning("commands that changed nothing may have been forgotten: %s", error)


def without_segment(error: BackupError, segment: Segment, reached: int) -> BackupError:
    """The error of a segment, which names it, and the last position that can be reached without it."""
    error.backup = str(segment.place)
    if error.reason != "encrypted":
        error.hint = f"without it, the last moment that can be had is --to-position {reached}"
    return error


def _require_made(work: Path, position: int, *, is_checked: bool, ends: int) -> None:
    """Returns if the file is sound, and the hash chain of its log holds up to the position `ends`.

    A file that `is_checked` was found to be sound before the fork; only the events behind `position` are
    checked then.
    """
    with closing(open_sealed(work)) as connection:
        head = chain.read_head(connection)
        if is_checked:
            require_chain(connection, work.name, head, head_at(connection, position))
        else:
            # Check what is on the disk, not what is in the cache.
            forget(work)
            with sound_beside(partial(open_sealed, work), work.name, thorough=True):
                require_chain(connection, work.name, head, chain.Head())
    if head.position != ends:
        raise BackupError("content_differs", f"{work.name} ends at {head.position}, not at {ends}")


def _copy(backup: Backup, work: Path, progress: Progress) -> None:
    """Copies a backup, and checks the copy."""
    require_room(work.parent, backup.metadata.size)
    done = 0
    with open_regular(backup.path) as source, work.open("wb", buffering=0) as target:
        while chunk := source.read(COPY_BYTES):
            done += target.write(chunk)
            if done % TOLD_BYTES < COPY_BYTES:
                progress("copy", done, backup.metadata.size)
    # Both take about as long as the copying; in two threads, half as long together.
    with ThreadPoolExecutor(2) as threads:
        checksum = threads.submit(file_checksum, work)
        synced = threads.submit(sync_file, work)
        try:
            require_content(backup, whole=True, copy=work, progress=progress)
        finally:
            # A wrong checksum replaces other errors: then the file is not the one that was made.
            if checksum.result() != backup.metadata.checksum:
                raise checksum_differs(backup.place)
        synced.result()


def seal(path: Path) -> None:
    """Makes a database file that is not in use complete in itself (without a WAL), and syncs it to disk."""
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("journal_mode", "delete")
    sync_file(path)


def _cut(connection: apsw.Connection, position: int, *, keeps_leases: bool) -> None:
    for table, column in (
        ("events", "position"),
        ("command_answers", "position"),
        ("timelines", "first_position"),
    ):
        connection.execute(f"DELETE FROM {table} WHERE {column} > ?", (position,))
    # Snapshots only make reading faster, and no hash vouches for them: they are made again from the log.
    connection.execute("DELETE FROM snapshots")
    if not keeps_leases:
        # No worker holds a job of that moment any more, so every running job must be rescued.
        connection.execute("DELETE FROM job_leases")


def _fork(connection: apsw.Connection, position: int, timeline: int, now_ms: int) -> None:
    head = chain.read_head(connection)
    if head.position != position:
        raise BackupError("content_differs", f"the log ends at {head.position}, not at {position}")
    version = connection.execute(
        "SELECT coalesce(max(version), 0) + 1 FROM events WHERE stream = ?", (TIMELINE_STREAM,)
    ).get
    data = msgspec.json.encode({"timeline": timeline, "restored_position": position}).decode()
    rows, _ = chain.extend(
        head, [chain.Entry(TIMELINE_STREAM, version, TIMELINE_FORKED, None, data, None)], now_ms
    )
    chain.insert(connection, rows)
    connection.execute("INSERT INTO timelines VALUES (?, ?)", (timeline, position + 1))

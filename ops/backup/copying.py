"""Copies a store's file while a service writes to it, as it is at one moment: `copy_store`.

WAL checkpoint ─▶ hold the writer, checkpoint the rest, begin to read, let the writer go ─▶ copy the bytes
                  (milliseconds)

A reader holds back the WAL checkpoint of all that comes later. If nothing was left in the WAL when the
reading began, the main file has all that the reader sees, and nobody writes to it until the reading ends:
its bytes can be copied as `cp` does, in a third of the time that going page by page takes. Where another
reader keeps the WAL from being emptied, or the file cannot be written to, it is copied page by page, inside
the same read transaction; so the copy never starts over, as SQLite's backup otherwise does whenever another
connection writes. https://www.sqlite.org/backup.html, https://www.sqlite.org/wal.html#ckpt
"""

import errno
import os
import time
from contextlib import closing, suppress
from pathlib import Path

import apsw

from migrations.connection import open_reader, require_safe_sqlite
from migrations.from_disk import forget
from ops.backup.content import StoreContent, read_content, require_shape
from ops.progress import Progress
from ops.targets.errors import BackupError

# Pages copied at a time, 4 MiB: progress is told every few milliseconds.
STEP_PAGES = 1_024
# Bytes copied at a time. They stay in the processor's cache: with 1 MiB, a busy machine takes two to three
# times as long.
COPY_BYTES = 64 * 1024
# Bytes after which progress is told.
TOLD_BYTES = 4 * 1024 * 1024
# How long the writer may take to let go, and then, who runs a checkpoint. Commands wait meanwhile, as they do
# behind a slow commit.
HOLD_WITHIN_MS = 200
CHECKPOINT_PAUSE_SECONDS = 0.002
# How often, and how long after each other, an empty WAL is tried for. Queries end after milliseconds;
# a reader that takes longer than this will take much longer.
ATTEMPTS = 5
PAUSE_SECONDS = 0.02


def copy_store(store: Path, copy: Path, progress: Progress) -> StoreContent:
    """Copies a store into a file that exists and is empty; what the store had at that moment.

    The copy is whole in itself (no WAL belongs to it), but not yet on disk.

    Raises:
        BackupError: there is no store, or its schema is not this program's.
        OSError, apsw.Error: the disk is full, the store cannot be read.
    """
    if not store.exists():
        raise BackupError("not_found", f"there is no store {store}")
    emptied = _read_with_empty_wal(store)
    with closing(open_reader(store) if emptied is None else emptied) as source:
        if emptied is None:
            source.execute("BEGIN")
        require_shape(source, store.name)
        content = read_content(source)
        if emptied is None:
            _copy_pages(source, copy, progress)
        else:
            _copy_bytes(store, copy, progress)
    with closing(apsw.Connection(str(copy))) as connection:
        # Without shared memory beside the file: on a full disk, making that fails with a misleading reason.
        connection.pragma("locking_mode", "exclusive")
        # No syncing here: the copy is checked and synced as a whole before it counts.
        connection.pragma("synchronous", "off")
        # The copy is in WAL mode as its source was; so it could not be opened in a read-only folder.
        connection.pragma("journal_mode", "delete")
    return content


def _read_with_empty_wal(store: Path) -> apsw.Connection | None:
    """A connection in a read transaction, all of which the main file has; `None` if there is no way to it."""
    require_safe_sqlite()
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        try:
            source = _begin_with_empty_wal(store)
        except apsw.BusyError:
            # The writer does not let go, or a checkpoint of somebody else takes long.
            continue
        except apsw.Error:
            # The folder is read-only, say. If something is really wrong, the reading that follows tells it.
            return None
        if source is not None:
            return source
    return None


def _begin_with_empty_wal(store: Path) -> apsw.Connection | None:
    """A connection in a read transaction that began when nothing was left in the WAL; `None`: something was.

    Raises:
        apsw.Error: the file cannot be written to, or the writer does not let go.
    """
    source = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        # A connection knows of the WAL only once it has read something.
        _read(source)
        # Empties most of the WAL without anybody having to wait, unless somebody else does so.
        with suppress(apsw.BusyError):
            source.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        with closing(apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READWRITE)) as holder:
            holder.set_busy_timeout(HOLD_WITHIN_MS)
            holder.execute("BEGIN IMMEDIATE")
            written, emptied = _checkpoint_after_others(source)
            # Both are -1 where there is no WAL.
            if 0 <= written == emptied:
                source.execute("BEGIN")
                _read(source)
                return source
    except BaseException:
        source.close()
        raise
    source.close()
    return None


def _checkpoint_after_others(source: apsw.Connection) -> tuple[int, int]:
    """The pages in the WAL, and of those the ones in the main file.

    The writer runs its checkpoints when it has let go. On a slow disk it hardly does anything else, so there
    might never be a moment without one, unless it is kept from writing more.
    """
    deadline = time.monotonic() + HOLD_WITHIN_MS / 1_000
    while True:
        try:
            return source.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
        time.sleep(CHECKPOINT_PAUSE_SECONDS)


def _read(connection: apsw.Connection) -> None:
    connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()


def _copy_bytes(store: Path, copy: Path, progress: Progress) -> None:
    # Read through SQLite: a process that opens the file itself and closes it loses all its locks on it.
    # https://www.sqlite.org/howtocorrupt.html, section 2.2
    source = apsw.VFSFile("", str(store), [apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB, 0])
    try:
        total, done = source.xFileSize(), 0
        with copy.open("wb", buffering=0) as target:
            while done < total:
                if done % TOLD_BYTES == 0:
                    # A damaged disk is to be found now, and not when memory has to be made anew from it.
                    forget(store, done, TOLD_BYTES)
                done += target.write(source.xRead(min(COPY_BYTES, total - done), done))
                if done % TOLD_BYTES < COPY_BYTES or done == total:
                    progress("copy", done, total)
    finally:
        source.xClose()


def _copy_pages(source: apsw.Connection, copy: Path, progress: Progress) -> None:
    with closing(apsw.Connection(str(copy))) as target:
        target.pragma("synchronous", "off")
        with target.backup("main", source, "main") as backup:
            while not backup.done:
                try:
                    backup.step(STEP_PAGES)
                except apsw.FullError as error:
                    # SQLite's own text is of the source, which is in order: "not an error".
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(copy)) from error
                progress("copy", backup.page_count - backup.remaining, backup.page_count)

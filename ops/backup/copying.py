"""Copies a store's file while a service writes to it, as it is at one moment: `copy_store`.

WAL checkpoint ─▶ hold the writer, checkpoint the rest, begin to read, let the writer go ─▶ copy the bytes
                  (milliseconds)

A reader keeps WAL checkpoints from copying later commits into the main file. If the WAL was empty when the
read transaction began, the main file has all that the reader sees, and does not change until the transaction
ends: its bytes can be copied as `cp` does, in a third of the time that a copy page by page takes. Where
another reader keeps the WAL from being emptied, or the file cannot be written to, it is copied page by page,
inside one read transaction; so the copy never starts over, as SQLite's backup otherwise does whenever another
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

# Pages copied at a time, 4 MiB: progress is reported every few milliseconds.
STEP_PAGES = 1_024
# Bytes copied at a time. They stay in the processor's cache: with 1 MiB, a busy machine takes two to three
# times as long.
COPY_BYTES = 64 * 1024
# Progress is reported each time this many more bytes are copied.
TOLD_BYTES = 4 * 1024 * 1024
# How long to wait for the writer to release its lock, and then again for a running WAL checkpoint to end.
# Commands wait meanwhile, as they do behind a slow commit.
HOLD_WITHIN_MS = 200
CHECKPOINT_PAUSE_SECONDS = 0.002
# The number of attempts to empty the WAL, and the pause between two of them. Queries end after milliseconds;
# a reader that takes longer than all of these attempts will take much longer.
ATTEMPTS = 5
PAUSE_SECONDS = 0.02


def copy_store(store: Path, copy: Path, progress: Progress) -> StoreContent:
    """Copies a store into a file that exists and is empty; returns the content of the store at that moment.

    The copy is complete in itself (it has no WAL), but not yet synced to disk.

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
        # No shared-memory file: on a full disk, making one fails with a misleading reason.
        connection.pragma("locking_mode", "exclusive")
        # No syncing here: the copy is checked and synced as a whole before it counts.
        connection.pragma("synchronous", "off")
        # The copy is in WAL mode like its source. In that mode it could not be opened in a read-only folder.
        connection.pragma("journal_mode", "delete")
    return content


def _read_with_empty_wal(store: Path) -> apsw.Connection | None:
    """A connection in a read transaction that needs the main file alone; `None` if that cannot be had."""
    require_safe_sqlite()
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        try:
            source = _begin_with_empty_wal(store)
        except apsw.BusyError:
            # The writer keeps its lock, or another connection's WAL checkpoint takes long.
            continue
        except apsw.Error:
            # The folder is read-only, for example. Real damage is found when the file is read page by page.
            return None
        if source is not None:
            return source
    return None


def _begin_with_empty_wal(store: Path) -> apsw.Connection | None:
    """A connection in a read transaction that began with an empty WAL; `None` if the WAL was not empty.

    Raises:
        apsw.Error: the file cannot be written to, or the writer keeps its lock.
    """
    source = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        # A connection opens the WAL only when it first reads something.
        _read(source)
        # Checkpoints most of the WAL before the writer has to wait, unless another connection does so.
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
    """The number of pages in the WAL, and how many of those the main file has now.

    The writer runs its own WAL checkpoints after it has released its lock. On a slow disk it hardly does
    anything else, so there might never be a moment without one if the caller did not block its writes.
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
    # Read through SQLite: a process that opens and closes the file itself loses all its locks on it.
    # https://www.sqlite.org/howtocorrupt.html, section 2.2
    source = apsw.VFSFile("", str(store), [apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB, 0])
    try:
        total, done = source.xFileSize(), 0
        with copy.open("wb", buffering=0) as target:
            while done < total:
                if done % TOLD_BYTES == 0:
                    # Read from the disk and not from the cache, so that a damaged sector is found now.
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
                    # SQLite's own message describes the source, which is sound: "not an error".
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(copy)) from error
                progress("copy", backup.page_count - backup.remaining, backup.page_count)

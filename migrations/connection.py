"""How a connection to the store's file is opened, with every PRAGMA and its reason."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import apsw

# https://www.sqlite.org/wal.html#walresetbug: up to 3.51.2, connections that write and checkpoint at the
# same moment can corrupt a WAL database.
OLDEST_SAFE_SQLITE = (3, 51, 3)

BUSY_TIMEOUT_MS = 5_000


class UnsafeSqliteError(RuntimeError):
    """The SQLite library that APSW brings has a bug that can corrupt the file."""


def require_safe_sqlite(version: str | None = None) -> None:
    """Returns if the SQLite library in use is free of the WAL-reset bug.

    Raises:
        UnsafeSqliteError: it is older than 3.51.3.
    """
    version = version or apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST_SAFE_SQLITE:
        raise UnsafeSqliteError(
            f"SQLite {version} can corrupt a WAL database; 3.51.3 or newer is needed (pip install -U apsw)"
        )


def distrust(connection: apsw.Connection, *, has_views: bool = False) -> None:
    """Lets nothing of what a file brings along in its schema run on a connection: it may be from elsewhere.

    Triggers and views, of which the service has none, do nothing, unless it `has_views`, as applications with
    tables of their own may; functions with an effect are out of their reach in any case. Ordinary SQL can't
    corrupt the file. See https://www.sqlite.org/security.html
    """
    connection.pragma("trusted_schema", False)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    if not has_views:
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)


def without_memory_statistics() -> None:
    """Stops SQLite's count of memory: its threads take turns for it at each allocation.

    The count was a twentieth of what the service computes. This holds for the whole process. Where one has a
    connection already, it stays as it is, which costs time alone.
    """
    try:
        apsw.shutdown()
    except apsw.MisuseError:
        return
    apsw.config(apsw.SQLITE_CONFIG_MEMSTATUS, False)
    apsw.initialize()


def open_writer(
    path: Path, *, cache_kib: int = 64 * 1024, checkpoint_pages: int = 4_000, has_views: bool = False
) -> apsw.Connection:
    """The one connection that writes. The file is created where there is none, and put into WAL mode.

    `cache_kib` is the size of the page cache. A WAL checkpoint follows a commit once the WAL has
    `checkpoint_pages` pages of 4 KiB. `has_views`: see `distrust`.
    """
    require_safe_sqlite()
    connection = apsw.Connection(str(path), statementcachesize=200)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # With a WAL, readers never wait for the writer, nor the writer for them.
    _switch_to_wal(connection)
    # A commit is on disk when it returns, so an answered command survives a power cut. With NORMAL it would
    # not.
    connection.pragma("synchronous", "full")
    # The writer's transaction holds events and rows together; job_history hangs on jobs.
    connection.pragma("foreign_keys", True)
    # A negative number is KiB; a positive one would be pages.
    connection.pragma("cache_size", -cache_kib)
    # Sorting for an index or a comparison stays in memory; nothing is written outside the directory.
    connection.pragma("temp_store", "memory")
    connection.wal_autocheckpoint(checkpoint_pages)
    # A WAL that grew while somebody read for long is cut back once it is reset.
    connection.pragma("journal_size_limit", 64 * 1024 * 1024)
    distrust(connection, has_views=has_views)
    return connection


def _switch_to_wal(connection: apsw.Connection) -> None:
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
            return
        except apsw.BusyError:
            # Where several connections open a new file at once, one switches it, which takes a few
            # milliseconds. SQLite refuses the others at once, without regard to the busy timeout.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def open_reader(path: Path, *, cache_kib: int = 8 * 1024, has_views: bool = False) -> apsw.Connection:
    """A connection that cannot write, for queries beside the running writer. `has_views`: see `distrust`.

    Raises:
        apsw.CantOpenError: there is no file.
    """
    require_safe_sqlite()
    if _has_journal(path):
        _roll_back(path)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=100)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("query_only", True)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("temp_store", "memory")
    # No memory map: a sector that cannot be read would be a signal, which ends the process without a word,
    # and no error. Reading costs a twentieth more without.
    connection.pragma("mmap_size", 0)
    distrust(connection, has_views=has_views)
    return connection


def open_checkpointer(path: str, vfs: str) -> apsw.Connection:
    """Another connection to a writer's file, by its VFS, for checkpoints of the WAL.

    Raises:
        apsw.Error: the file cannot be opened, or read.
    """
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    # Nothing leaves the WAL for a file that might lose it.
    connection.pragma("synchronous", "full")
    # It knows of the WAL only once it has read something.
    connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    return connection


def _has_journal(path: Path) -> bool:
    try:
        return Path(f"{path}-journal").exists()
    except OSError:
        # SQLite says what is wrong with the folder, in an error of its own.
        return False


def _roll_back(path: Path) -> None:
    """Takes back a transaction that was cut off before the file had a WAL, which only a writer may do.

    As long as another connection is in that transaction, it is not cut off, and nothing is done.
    """
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
        distrust(connection)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()


def open_memory(name: str | None = None) -> apsw.Connection:
    """A connection to a database in memory, empty at first and gone with the last connection to it.

    With a `name`, every connection of this process that gives the same one opens the same database; without,
    it is this connection's own. SQLite allows it 1 GiB.
    """
    require_safe_sqlite()
    # The VFS `memdb`, not a shared cache: locks of the latter fail at once instead of waiting for their turn.
    # https://www.sqlite.org/src/file/src/memdb.c: a name is shared if it begins with a slash.
    where = ":memory:" if name is None else f"file:/{quote(name, safe='')}?vfs=memdb"
    writable = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(where, flags=writable, statementcachesize=200)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("foreign_keys", True)
    connection.pragma("temp_store", "memory")
    connection.pragma("trusted_schema", False)
    return connection


@contextmanager
def write_transaction(connection: apsw.Connection) -> Iterator[None]:
    """Commits what the block did when it ends; undoes all of it if it raises. Not to be nested.

    Raises:
        apsw.BusyError: another connection kept its write transaction for longer than the busy timeout.
    """
    # Not `with connection`: APSW keeps the GIL through its BEGIN and COMMIT. Every thread would stand still
    # while this one waits for the disk, and for ever if the thread that holds the lock needs the GIL.
    # IMMEDIATE: a transaction that reads first and writes later gets SQLITE_BUSY whatever the timeout.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # On a full disk, for one, SQLite has already rolled back on its own.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise

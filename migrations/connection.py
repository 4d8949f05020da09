"""Opens connections to the store's file, with the reason for every PRAGMA."""

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
    """Keeps a connection from running code in the file's schema, as the file may be from elsewhere.

    Triggers and views, of which the service has none, are disabled, unless the file `has_views`, as that of
    an application with tables of its own may. They can never call functions with side effects. Ordinary SQL
    can't corrupt the file. See https://www.sqlite.org/security.html
    """
    connection.pragma("trusted_schema", False)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    if not has_views:
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0)


def without_memory_statistics() -> None:
    """Turns SQLite's memory statistics off: they take a lock of all threads at each allocation.

    They were a twentieth of the service's CPU time. This applies to the whole process. If the process has a
    connection already, the statistics stay on, which only costs time.
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
    """The one connection that writes. The file is created if it is missing, and put into WAL mode.

    `cache_kib` is the size of the page cache. A WAL checkpoint follows a commit once the WAL has
    `checkpoint_pages` pages of 4 KiB. `has_views`: see `distrust`.
    """
    require_safe_sqlite()
    connection = apsw.Connection(str(path), statementcachesize=200)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # With a WAL, readers never wait for the writer, nor the writer for them.
    _switch_to_wal(connection)
    # A commit is on disk when it returns, so an answered command survives a power cut; with NORMAL it would
    # not.
    connection.pragma("synchronous", "full")
    # Rows of `job_history` refer to rows of `jobs`.
    connection.pragma("foreign_keys", True)
    # A negative number is KiB; a positive one would be pages.
    connection.pragma("cache_size", -cache_kib)
    # Sorting for an index or a comparison stays in memory; nothing is written outside the directory.
    connection.pragma("temp_store", "memory")
    connection.wal_autocheckpoint(checkpoint_pages)
    # A WAL that grew during a long read is cut back once it is reset.
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
            # If several connections open a new file at the same time, one switches it, which takes a few
            # milliseconds. SQLite refuses the others immediately, without regard to the busy timeout.
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
    # No memory map: with one, a sector that cannot be read leads to a signal that kills the process without a
    # message, and not to an error. Without one, reading costs a twentieth more.
    connection.pragma("mmap_size", 0)
    distrust(connection, has_views=has_views)
    return connection


def open_checkpointer(path: str, vfs: str) -> apsw.Connection:
    """Another connection to a writer's file, by its VFS, for checkpoints of the WAL.

    Raises:
        apsw.Error: the file cannot be opened, or read.
    """
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    # A page leaves the WAL only when it is on disk in the file.
    connection.pragma("synchronous", "full")
    # The connection knows of the WAL only after its first read.
    connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    return connection


def _has_journal(path: Path) -> bool:
    try:
        return Path(f"{path}-journal").exists()
    except OSError:
        # SQLite reports the problem of the folder in an error of its own.
        return False


def _roll_back(path: Path) -> None:
    """Rolls back a transaction that was cut off before the file had a WAL, which only a writer may do.

    If another connection is still in that transaction, nothing is done.
    """
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
        distrust(connection)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()


def open_memory(name: str | None = None) -> apsw.Connection:
    """A connection to a database in memory, empty at first and gone with the last connection to it.

    With a `name`, every connection of this process with the same name opens the same database; without one,
    the database is this connection's own. SQLite limits it to 1 GiB.
    """
    require_safe_sqlite()
    # The VFS `memdb` and not a shared cache, whose locks fail at once instead of waiting for their turn.
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
    """A write transaction: committed at the end of the block, rolled back if it raises. Not to be nested.

    Raises:
        apsw.BusyError: another connection kept its write transaction for longer than the busy timeout.
    """
    # Not `with connection`: APSW keeps the GIL through its BEGIN and COMMIT. Every thread would stand still
    # while this one waits for the disk, and for ever if the thread that holds the lock needs the GIL.
    # IMMEDIATE, because a transaction that reads first and writes later may get SQLITE_BUSY at once, despite
    # the timeout.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back already, on a full disk for instance.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise

"""The database under the event store's recorders: one connection that writes, a pool of those that read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from urllib.parse import parse_qsl, unquote, urlsplit

import apsw
import msgspec
from eventsourcing.persistence import (
    ConnectionUnavailableError,
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)

from bus.event_store.subscription import CommitSignal
from bus.log.reader_pool import PoolClosedError, PoolExhaustedError, ReaderPool
from migrations import runner
from migrations.connection import open_memory, open_writer, write_transaction
from migrations.sqlite_words import words_of

# The first that fits counts. Any other error is an `OperationalError`: busy, full, read-only, no such table.
_ERRORS: tuple[tuple[type[apsw.Error] | tuple[type[apsw.Error], ...], type[DatabaseError]], ...] = (
    (apsw.ConstraintError, IntegrityError),
    ((apsw.MismatchError, apsw.TooBigError, apsw.RangeError), DataError),
    ((apsw.CorruptError, apsw.NotADBError), DatabaseError),
    ((apsw.InternalError, apsw.NoMemError), InternalError),
    ((apsw.BindingsError, apsw.MisuseError, apsw.ThreadingViolationError), ProgrammingError),
)


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """The place of a database: a `path`; or in memory, with a `memory_name` if connections share it."""

    path: Path | None = None
    memory_name: str | None = None

    @classmethod
    def parse(cls, name: str) -> "Location":
        """The location that a path, `:memory:`, or a `file:` URI of SQLite stands for.

        `file:NAME?mode=memory&cache=shared` is a database in memory, which all connections of this process
        with the same name share. Any other parameter is refused: it would change how a file is opened.

        Raises:
            OSError: a URI with such a parameter, or with a host.
        """
        if not name.startswith("file:"):
            return cls() if name == ":memory:" else cls(path=Path(name))
        uri = urlsplit(name)
        parameters = dict(parse_qsl(uri.query))
        mode, cache = parameters.pop("mode", "rwc"), parameters.pop("cache", "private")
        target = unquote(uri.path)
        if parameters or mode not in ("rw", "rwc", "memory") or uri.netloc not in ("", "localhost"):
            raise OSError(f"a database cannot be opened as {name!r}: only mode and cache have a meaning here")
        if mode == "memory" or target == ":memory:":
            return cls(memory_name=target if cache == "shared" else None)
        return cls(path=Path(target))


class Database:
    """One database that several recorders, used by several threads, read and write.

    Nothing is opened, nor a file made, before the first use. A writer waits `lock_timeout_seconds` for
    another one, and a reader as long for a free connection.
    """

    def __init__(self, location: Location, *, lock_timeout_seconds: float) -> None:
        self._location = location
        self._lock_timeout_seconds = lock_timeout_seconds
        # Held by the thread that uses the writing connection. A database in memory has no other connection,
        # so readers wait for it as well. Reentrant, so that a writer may read.
        self._turn = RLock()
        self._writer: apsw.Connection | None = None
        self._readers = (
            None
            if location.path is None
            # The file is the application's own: its recorders may make any tables, views and
            # triggers in it.
            else ReaderPool(location.path, wait_seconds=lock_timeout_seconds, has_views=True)
        )
        self._is_closed = False
        self.commits = CommitSignal()

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """A connection in a write transaction, which is on disk after the block, or undone if it raises.

        Raises:
            IntegrityError: a constraint does not hold.
            ConnectionUnavailableError: another thread wrote for too long.
            OperationalError: another process wrote for too long; the disk is full; a table is missing; etc.
        """
        with _library_errors(), self._exclusively() as connection:
            if connection.in_transaction:
                raise ProgrammingError("this thread has a write transaction open already")
            with write_transaction(connection):
                yield connection
        self.commits.announce()

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """A connection to read with. Rows must be fetched before the block ends.

        Raises:
            ConnectionUnavailableError: none became free in time.
            OperationalError: a table is missing; and so on.
        """
        with _library_errors():
            if self._readers is not None and self._writer is None:
                # A reader cannot make the file, so the first one opens the writer.
                with self._exclusively():
                    pass
            with self._exclusively() if self._readers is None else self._readers.connection() as connection:
                yield connection

    def migrate(self) -> None:
        """Brings the log's tables, and all others of the service, up to date.

        Raises:
            MigrationError: this program cannot migrate the file.
        """
        with _library_errors(), self._exclusively() as connection:
            runner.up(connection)

    def close(self) -> None:
        """Closes every connection, once a running write has ended. Any later use is an `InterfaceError`."""
        with self._turn:
            self._is_closed = True
            if self._readers is not None:
                self._readers.close()
            if self._writer is not None:
                self._writer.close()
        # Threads that wait for a commit learn that none will come.
        self.commits.announce()

    @contextmanager
    def _exclusively(self) -> Iterator[apsw.Connection]:
        if not self._turn.acquire(timeout=self._lock_timeout_seconds):
            raise ConnectionUnavailableError(f"another thread wrote for {self._lock_timeout_seconds:g} s")
        try:
            if self._is_closed:
                raise InterfaceError("the event store is closed")
            if self._writer is None:
                self._writer = self._open()
            yield self._writer
        finally:
            self._turn.release()

    def _open(self) -> apsw.Connection:
        path = self._location.path
        connection = (
            open_memory(self._location.memory_name) if path is None else open_writer(path, has_views=True)
        )
        connection.set_busy_timeout(round(self._lock_timeout_seconds * 1_000))
        return connection


@contextmanager
def _library_errors() -> Iterator[None]:
    """Translates errors into those that callers of the eventsourcing library can catch."""
    try:
        yield
    except PoolExhaustedError as error:
        raise ConnectionUnavailableError(str(error)) from error
    except PoolClosedError as error:
        raise InterfaceError("the event store is closed") from error
    except apsw.Error as error:
        fitting = (ours for theirs, ours in _ERRORS if isinstance(error, theirs))
        raise next(fitting, OperationalError)(words_of(error)) from error

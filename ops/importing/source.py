"""The old system's file: opened without being changed, and read row by row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
import msgspec

from migrations.connection import BUSY_TIMEOUT_MS, distrust, require_safe_sqlite
from migrations.sqlite_words import words_of
from ops.importing.old_tables import JOB_HISTORY, JOBS, OLD_TABLES, OldTable
from ops.store.troubles import hint_of
from ops.targets.regular_files import open_regular, require_regular

Row = dict[str, Any]

_HEADER = b"SQLite format 3\x00"
# Bytes 18 and 19 of the header: https://www.sqlite.org/fileformat.html#file_format_version_numbers
_WAL = b"\x02\x02"
# A larger cell could not be imported, so it is not read.
MAXIMUM_CELL_BYTES = 1024 * 1024


class SourceError(RuntimeError):
    """The file cannot be read, or is not one of the old system; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SourceMissingError(SourceError):
    """There is no file at the path."""


class Unreadable(msgspec.Struct, frozen=True):
    """A cell that cannot be imported: the reason, and its bytes, unless they are too many."""

    reason: str
    content: bytes = b""


class Source:
    """An open file of the old system; all of it is read as it was at one moment.

    Raises:
        SourceError: the file is missing, no regular file (a FIFO, say), no SQLite database, not one of the
            old system, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_immutable = _is_immutable(path)
        self._seen = _traces(path)
        with_wal = "" if self._is_immutable else " (with the files beside it: -wal, -journal)"
        try:
            self._connection = _open(path, immutable=self._is_immutable)
            self._connection.execute("BEGIN")
            self._columns = _columns(self._connection)
            self._encoding = str(self._connection.pragma("encoding"))
        except apsw.Error as error:
            raise SourceError(
                f"{path} cannot be read: {words_of(error)}",
                f"copy it{with_wal} into a folder that can be written, and import the copy",
            ) from error
        try:
            _require_old(path, self._connection, self._columns)
        except SourceError:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def require_unchanged(self) -> None:
        """Returns if no program has written to the file while it was read without a lock.

        Raises:
            SourceError: a program has.
        """
        if self._is_immutable and _traces(self.path) != self._seen:
            raise SourceError(
                f"{self.path} was written to while it was read, so that not all of it may be here",
                "stop whoever writes to it, and import it once more: what is here already is passed over",
            )

    def has(self, table: OldTable) -> bool:
        """Whether the file has a table."""
        return table.name in self._columns

    def count(self, table: OldTable) -> int:
        """How many rows a table has; 0 without one."""
        if not self.has(table):
            return 0
        return int(self._connection.execute(f"SELECT count(*) FROM {table.name}").get)

    def rows(self, table: OldTable) -> Iterator[Row]:
        """Every row of a table, by its fields; jobs and their history in the order of the jobs' ids.

        Raises:
            SourceError: the file is damaged.
        """
        if not self.has(table):
            return
        columns = self._columns[table.name]
        cells = ", ".join(_cell(_quoted(column)) for column in columns.values())
        statement = f"SELECT {cells} FROM {table.name}{_order(table, columns)}"
        try:
            for values in self._connection.execute(statement):
                cells_read = map(self._value, values[::2], values[1::2])
                yield dict(zip(columns, cells_read, strict=True))
        except apsw.Error as error:
            raise SourceError(
                f"{self.path} is damaged: {words_of(error)}",
                "`sqlite3 old.db .recover | sqlite3 new.db` saves what can be saved; import that, then",
            ) from error

    def order_key(self, value: Any) -> tuple[int, Any]:
        """The key by which SQLite orders a cell: NULL, then numbers, then texts by their bytes."""
        match value:
            case None:
                return 0, 0
            case int() | float():
                return 1, value
            case Unreadable():
                return 2, value.content
            case _:
                return 2, value.encode(self._encoding)

    def _value(self, kind: str, value: Any) -> Any:
        match kind:
            case "text":
                try:
                    return value.decode(self._encoding)
                except UnicodeDecodeError as error:
                    return Unreadable(f"is not {error.encoding} (byte {error.start})", value)
            case "blob":
                return Unreadable("is not a text", value)
            case "large":
                return Unreadable(f"has more than {MAXIMUM_CELL_BYTES} bytes")
            case _:
                return value


def _is_immutable(path: Path) -> bool:
    """Whether the file is read without a lock: it is in WAL mode, and its WAL is missing or empty.

    With a lock, SQLite would make files beside a database in WAL mode, and leave them there. Without a WAL,
    most likely no program has the file open; `require_unchanged` notices one that writes to it.

    Raises:
        SourceError: the file is missing, cannot be read, or is no SQLite database.
    """
    try:
        with open_regular(path) as file:
            header = file.read(20)
        # SQLite opens these files by itself, and would wait for ever if one were a FIFO.
        for beside in (_beside(path, "-wal"), _beside(path, "-shm"), _beside(path, "-journal")):
            if beside.exists():
                require_regular(beside)
    except FileNotFoundError as error:
        raise SourceMissingError(
            f"there is no {path}", "look at how its path is written; nothing was imported"
        ) from error
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be read: {error.strerror}", hint_of(error)) from error
    if not header.startswith(_HEADER):
        raise SourceError(
            f"{path} is not an SQLite database", "name the file that the old system kept its tables in"
        )
    wal = _beside(path, "-wal")
    return header[18:20] == _WAL and not (wal.exists() and wal.stat().st_size)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _traces(path: Path) -> list[tuple[int, int]]:
    """The times and sizes of the files, which change when a program writes to them."""
    files = (path, _beside(path, "-wal"))
    return [(one.stat().st_mtime_ns, one.stat().st_size) for one in files if one.exists()]


def _open(path: Path, *, immutable: bool) -> apsw.Connection:
    require_safe_sqlite()
    name = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if immutable else ''}"
    connection = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("query_only", True)
    # The file is not ours: nothing in its schema may have an effect, and its pages may have any content.
    distrust(connection)
    connection.pragma("cell_size_check", True)
    return connection


def _columns(connection: apsw.Connection) -> dict[str, dict[str, str]]:
    """The columns of each old table that the file has, by field."""
    found = {}
    for table in OLD_TABLES:
        present = connection.execute(
            "SELECT info.name FROM pragma_table_list AS list, pragma_table_info(list.name) AS info"
            " WHERE list.schema = 'main' AND list.type = 'table' AND list.name = ?",
            (table.name,),
        )
        if names := [name for (name,) in present]:
            found[table.name] = table.columns(names)
    return found


def _require_old(path: Path, connection: apsw.Connection, columns: dict[str, dict[str, str]]) -> None:
    own = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('events', 'command_answers')"
    ).get
    if own == 2:
        raise SourceError(
            f"{path} is a store of this service itself",
            "name its folder with --data, or, if it is a backup, see `hyperpage backup restore --help`",
        )
    if not columns:
        names = ", ".join(table.name for table in OLD_TABLES)
        raise SourceError(
            f"{path} has none of the old system's tables ({names})",
            "nothing was imported: name the file that the old system kept its tables in",
        )
    for table in OLD_TABLES:
        missing = table.required - columns[table.name].keys() if table.name in columns else ()
        if missing:
            names = ", ".join(sorted(missing))
            raise SourceError(
                f"{path} is not of the old system: its table {table.name} has no {names}",
                "nothing was imported: name the file that the old system kept its tables in;"
                " docs/importing.md has the columns",
            )


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _cell(column: str) -> str:
    """The SQL for the kind and the value of a cell; texts are read as bytes, since they may be malformed."""
    is_large = f"octet_length({column}) > {MAXIMUM_CELL_BYTES}"
    value = f"iif(typeof({column}) = 'text', CAST({column} AS BLOB), {column})"
    return f"iif({is_large}, 'large', typeof({column})), iif({is_large}, NULL, {value})"


def _order(table: OldTable, columns: dict[str, str]) -> str:
    if table is JOBS:
        names = [columns["id"]]
    elif table is JOB_HISTORY:
        fields = ("job_id", "attempt", "started_at", "id")
        names = [columns[field] for field in fields if field in columns]
    else:
        return ""
    return " ORDER BY " + ", ".join(f"{_quoted(name)} COLLATE BINARY" for name in names)

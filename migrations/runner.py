"""Applies and reverts migrations, each in one transaction together with its record."""

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import apsw
import msgspec

from migrations.aggregate_tables import drop_tables
from migrations.command_ids import provide_id_hash
from migrations.connection import write_transaction
from migrations.sqlite_words import words_of

_NAME = re.compile(r"^(\d{3}_[a-z0-9_]+)\.up\.sql$")
# The line of a migration that leaves the tables as they should be, so that no rebuild from the log is needed.
_ROWS_STAY = "-- rows stay"
# The line of a down migration that drops the recorded tables of aggregates; the log can make them again.
_DROPS_RECORDED = "-- drops recorded tables"
# The line of a down migration that names a table that cannot be derived again: `-- keeps: events`.
_KEEPS = re.compile(r"^-- keeps: (\w+)$", re.MULTILINE)


class MigrationError(RuntimeError):
    """This program cannot work with the migrations that the file records; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered step. `checksum` is the SHA-256 of both directions."""

    name: str
    up: str
    down: str

    @property
    def changes_rows(self) -> bool:
        """Whether the tables have to be rebuilt from the log after it."""
        return _ROWS_STAY not in self.up.splitlines()

    @property
    def checksum(self) -> str:
        return hashlib.sha256(f"{self.up}\x00{self.down}".encode()).hexdigest()


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Whether, and when (in milliseconds), a migration was applied."""

    name: str
    applied: bool
    executed_at: int | None


@cache
def known_migrations() -> tuple[Migration, ...]:
    """The migrations that this program ships, in order."""
    folder = files("migrations") / "sql"
    names = sorted(match[1] for entry in folder.iterdir() if (match := _NAME.match(entry.name)))
    return tuple(
        Migration(
            name=name,
            up=(folder / f"{name}.up.sql").read_text(encoding="utf-8"),
            down=(folder / f"{name}.down.sql").read_text(encoding="utf-8"),
        )
        for name in names
    )


def status(connection: apsw.Connection, known: tuple[Migration, ...] | None = None) -> list[Status]:
    """Every known migration in order, and whether it is applied.

    Raises:
        MigrationError: an applied migration was edited since, or is unknown to this program; or the file
            belongs to another program.
    """
    known = known_migrations() if known is None else known
    applied = _applied(connection, known)
    return [
        Status(name=one.name, applied=one.name in applied, executed_at=applied.get(one.name)) for one in known
    ]


def up(connection: apsw.Connection, known: tuple[Migration, ...] | None = None) -> list[str]:
    """Applies the pending migrations, in order, and returns their names. All of them are on disk, or none.

    Raises:
        MigrationError: as in `status`; or a migration's SQL failed.
    """
    # The record is read inside the transaction, so that only one of two programs applies a migration.
    with write_transaction(connection):
        return [one.name for one in apply(connection, known)]


def apply(connection: apsw.Connection, known: tuple[Migration, ...] | None = None) -> Iterator[Migration]:
    """Applies the pending migrations, in order, in the caller's transaction; yields each when it is applied.

    Raises:
        MigrationError: as in `up`.
    """
    known = known_migrations() if known is None else known
    applied = _applied(connection, known)
    for one in known:
        if one.name in applied:
            continue
        _execute(connection, one.name, one.up)
        connection.execute(
            "INSERT INTO schema_migrations (migration_name, checksum) VALUES (?, ?)",
            (one.name, one.checksum),
        )
        yield one


def down(
    connection: apsw.Connection,
    *,
    to: str | None = None,
    drop_events: bool = False,
    known: tuple[Migration, ...] | None = None,
) -> list[str]:
    """Reverts migrations, newest first, until `to` is the last one applied; by default only the newest.

    Raises:
        MigrationError: as in `status`; `to` is not applied; or events would be lost and `drop_events` is
            false.
    """
    known = known_migrations() if known is None else known
    with write_transaction(connection):
        applied = _applied(connection, known)
        newest_first = [one for one in reversed(known) if one.name in applied]
        if to is not None and to not in applied:
            raise MigrationError(f"{to} is not applied", "see `hyperpage migrate status`")
        names = [one.name for one in newest_first]
        reverted = newest_first[: names.index(to) if to is not None else 1]
        for one in reverted:
            _refuse_to_lose(connection, one, drop_events)
            if _DROPS_RECORDED in one.down.splitlines():
                drop_tables(connection)
            # Deleted first, since the migration may drop the table of these records.
            connection.execute("DELETE FROM schema_migrations WHERE migration_name = ?", (one.name,))
            _execute(connection, one.name, one.down)
    return [one.name for one in reverted]


def require_checksums(connection: apsw.Connection) -> None:
    """Returns if a file records the checksums of its migrations, or no migrations at all.

    Raises:
        MigrationError: the file was made by the system before this one, or by another program.
    """
    # Such a file is not accepted: its rows follow from no events, so the first rebuild would remove them.
    columns = connection.execute("SELECT name FROM pragma_table_info('schema_migrations')").fetchall()
    if columns and ("checksum",) not in columns:
        raise MigrationError(
            "the file records no checksums of its migrations: it was made by the system before this one, or "
            "by another program",
            "leave it as it is, choose another data directory, for a store of its own, and read it into that"
            " one with `hyperpage import FILE --data DIR`",
        )


def _applied(connection: apsw.Connection, known: tuple[Migration, ...]) -> dict[str, int]:
    # Not `table_exists`, which uses the schema that this connection has cached. Another connection may have
    # applied migrations meanwhile.
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'").get:
        return {}
    require_checksums(connection)
    checksums = {one.name: one.checksum for one in known}
    applied = {}
    rows = connection.execute(
        "SELECT migration_name, executed_at, checksum FROM schema_migrations ORDER BY id"
    )
    for name, executed_at, checksum in rows:
        if name not in checksums:
            raise MigrationError(
                f"the file has migration {name}, which this program does not know",
                "it was written by a newer version, or by another program: run that one",
            )
        if checksum != checksums[name]:
            raise MigrationError(
                f"migration {name} is not the one that was applied to this file",
                "restore its text, and put the change into a new migration",
            )
        applied[name] = executed_at
    return applied


def _refuse_to_lose(connection: apsw.Connection, migration: Migration, drop_events: bool) -> None:
    for table in _KEEPS.findall(migration.down):
        if not drop_events and connection.execute(f"SELECT 1 FROM {table} LIMIT 1").get:
            raise MigrationError(
                f"reverting {migration.name} would drop the rows of {table}, which nothing can bring back",
                "make a backup, then say --drop-events",
            )


def _execute(connection: apsw.Connection, name: str, sql: str) -> None:
    provide_id_hash(connection)
    try:
        connection.execute(sql)
    except apsw.Error as error:
        raise MigrationError(
            f"migration {name} failed: {words_of(error)}",
            "nothing of it was kept: the file is as it was before; `hyperpage doctor` looks at it",
        ) from error

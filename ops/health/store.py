"""Looks at the store: whether it can be read at all, how fast, and whether SQLite finds it sound.

They use connections of their own, so the store can be checked while all connections of the pool are in use.
"""

import time
from contextlib import closing
from pathlib import Path
from threading import Event

import apsw
import msgspec

from bus.log import chain
from bus.log.damage import Damage
from migrations import runner
from migrations.connection import open_reader
from migrations.schema import schema_differences
from migrations.sqlite_words import words_of
from ops.store.troubles import message_of

# The most time for one table. It is checked in one read transaction, which keeps the WAL from being reset
# meanwhile. A gigabyte takes about 8 s; larger tables are left to backups, whose copies are checked whole.
MAXIMUM_TABLE_SECONDS = 60.0
MAXIMUM_FINDINGS = 5
# SQLite asks whether to go on after this many steps of its virtual machine.
STEPS = 20_000
# The quickest of this many looks counts: a slow one may have waited for a processor. With more of them, a
# disk that became slow would be reported after more than 5 s.
_LOOKS = 2


class StoreLook(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the file. `problem`: why it could not be read. `migrations`: what is wrong with these."""

    size_bytes: int = 0
    free_bytes: int = 0
    """Within the file: pages that are used again before it grows."""
    wal_bytes: int = 0
    query_ms: float | None = None
    problem: str | None = None
    migrations: str | None = None


class Integrity(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the last check; `problem` is `None` if it found nothing."""

    checked_at: int | None = None
    """When it ended, in milliseconds since the epoch; `None` before the first one."""
    took_ms: int | None = None
    problem: str | None = None
    unfinished: list[str] = []
    """Tables that are too large to be checked while serving."""


class StoreProbe:
    """Looks at a store; used by one thread at a time."""

    def __init__(self, path: Path, damage: Damage) -> None:
        self._path = path
        self._damage = damage
        self._known = runner.known_migrations()
        self._latencies: list[float] = []

    def look(self) -> StoreLook:
        """A look at the store now. An error is part of the answer."""
        wal = self._path.with_name(f"{self._path.name}-wal")
        try:
            wal_bytes = wal.stat().st_size if wal.exists() else 0
            return self._read(wal_bytes)
        except (apsw.Error, OSError, UnicodeDecodeError) as error:
            self._damage.note(error, "a look at the store")
            return StoreLook(problem=message_of(error))

    def _read(self, wal_bytes: int) -> StoreLook:
        # A new connection each time, so that it reads what the file has now, also its header.
        with closing(open_reader(self._path, cache_kib=256)) as connection:
            return self._figures(connection, wal_bytes)

    def _figures(self, connection: apsw.Connection, wal_bytes: int) -> StoreLook:
        began = time.perf_counter()
        chain.read_head(connection)
        self._latencies = [*self._latencies, (time.perf_counter() - began) * 1_000][-_LOOKS:]
        page_bytes = connection.pragma("page_size")
        return StoreLook(
            size_bytes=connection.pragma("page_count") * page_bytes,
            free_bytes=connection.pragma("freelist_count") * page_bytes,
            wal_bytes=wal_bytes,
            query_ms=round(min(self._latencies), 3),
            migrations=self._migrations_problem(connection),
        )

    def _migrations_problem(self, connection: apsw.Connection) -> str | None:
        try:
            if differences := schema_differences(connection, self._known):
                return "; ".join(differences[:MAXIMUM_FINDINGS])
            pending = [one.name for one in runner.status(connection, self._known) if not one.applied]
        except runner.MigrationError as error:
            return error.message
        return f"not applied: {', '.join(pending)}" if pending else None


def check_integrity(path: Path, *, now_ms: int, stopping: Event) -> Integrity:
    """SQLite's check of the store, table by table, some seconds for a gigabyte; `stopping` ends it early.

    Whether indexes agree with their tables is not checked here, but for each backup.
    """
    began = time.monotonic()
    findings: list[str] = []
    unfinished: list[str] = []
    try:
        # A new connection reads the file, not pages that were read before.
        with closing(open_reader(path, cache_kib=4 * 1024)) as connection:
            tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
            for table in [str(name) for (name,) in connection.execute(tables)]:
                try:
                    findings += _check_table(connection, table, stopping)
                except apsw.InterruptError:
                    unfinished.append(table)
    except (apsw.Error, UnicodeDecodeError) as error:
        findings.append(words_of(error))
    return Integrity(
        checked_at=now_ms,
        took_ms=round((time.monotonic() - began) * 1_000),
        problem="; ".join(findings[:MAXIMUM_FINDINGS]) or None,
        unfinished=unfinished,
    )


def interrupt_after(connection: apsw.Connection, seconds: float, stopping: Event) -> None:
    """Ends a connection's statements by `apsw.InterruptError` after `seconds`, or when `stopping` is set."""
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: stopping.is_set() or time.monotonic() > deadline, STEPS)


def _check_table(connection: apsw.Connection, table: str, stopping: Event) -> list[str]:
    interrupt_after(connection, MAXIMUM_TABLE_SECONDS, stopping)
    found = connection.execute(f'PRAGMA quick_check("{table}")')
    return [str(row[0]) for row in found if row[0] != "ok"][:MAXIMUM_FINDINGS]

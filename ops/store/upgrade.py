"""Brings a store of an older version up to date: `bring_up_to_date`; or tries that on a copy: `rehearsed`.

pending migrations ─▶ the log is folded by this version ─▶ compared with the rows as they were ─▶ filled
                                                           (differs, or cannot be read: all is undone)

All of it is one transaction: if the process is killed, or the upgrade is refused, the store is as it was.
"""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec

from domain.counting import counted
from domain.installed.error import AggregateError
from migrations import runner
from migrations.connection import write_transaction
from migrations.runner import MigrationError
from ops.store.projections_check import portions, scratch_beside
from projections import comparison, installed_tables, rebuild
from projections.comparison import TableReport
from projections.rebuild import Progress, Unreadable
from projections.tables import TABLE_COLUMNS

logger = logging.getLogger(__name__)

_ADVICE = (
    "go on with the version before, and see `hyperpage check-upgrade`; with upgrade_check_seconds = 0, "
    "the tables are made what this version takes the log for"
)


class AppliedMigration(msgspec.Struct, frozen=True, kw_only=True):
    """A migration that was applied, and how long that took."""

    name: str
    seconds: float


class Upgrade(msgspec.Struct, kw_only=True):
    """The findings of an upgrade, done or only tried. `position` is the end of the log.

    `unreadable` has the events that this version cannot read or fold; if there are any, nothing was compared.
    `tables` compares rows in the columns that they had before. `fold_seconds` are for folding the log and
    comparing, `fill_seconds` for filling new columns and tables.
    """

    position: int = 0
    migrations: list[AppliedMigration] = []
    unreadable: list[Unreadable] = []
    tables: dict[str, TableReport] = {}
    fold_seconds: float = 0.0
    fill_seconds: float = 0.0

    @property
    def differing(self) -> dict[str, int]:
        """How many rows would change, by table."""
        counts = {name: one.missing + one.unexpected + one.different for name, one in self.tables.items()}
        return {name: count for name, count in counts.items() if count}

    @property
    def holds(self) -> bool:
        """Whether this version reads the whole log, and makes the same rows of it as there were before."""
        return not self.unreadable and not self.differing


def bring_up_to_date(connection: apsw.Connection, path: Path, *, check_seconds: float) -> list[str]:
    """Applies pending migrations to the store at `path`, and fills what they add; their names.

    Before that is committed, the whole log is folded and compared with the rows that were there, which takes
    some 25 s for each million of events. If no migration needs the rows made anew, this check is given up
    after `check_seconds`, with a line in the log; with 0 seconds, nothing is compared.

    Raises:
        MigrationError: as `runner.up`; or this version cannot read the log, or makes other rows of it than
            the version before, and nothing was changed.
    """
    applied = _migrated(connection, path, check_seconds)
    if installed_tables.outdated(connection):
        with write_transaction(connection):
            made = _made_anew(connection)
        if made:
            logger.info("made by what is installed now: the tables %s", ", ".join(made))
    return applied


def _made_anew(connection: apsw.Connection) -> list[str]:
    try:
        return installed_tables.bring_up_to_date(connection)
    except AggregateError as error:
        raise MigrationError(error.message, error.hint) from error


def _without_outdated(
    connection: apsw.Connection, columns: dict[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The columns, without the tables that are made anew in any case."""
    outdated = installed_tables.outdated(connection)
    return {name: some for name, some in columns.items() if name not in outdated}


def _migrated(connection: apsw.Connection, path: Path, check_seconds: float) -> list[str]:
    if all(one.applied for one in runner.status(connection)):
        return []
    if not _has_events(connection):
        return runner.up(connection)
    with scratch_beside(path) as scratch, write_transaction(connection):
        columns = columns_of(connection)
        applied = list(runner.apply(connection))
        columns = _without_outdated(connection, columns)
        logger.info("the log is folded, since %s was applied", ", ".join(one.name for one in applied))
        is_filled = any(one.changes_rows for one in applied)
        if is_filled or check_seconds:
            progress = Progress() if is_filled else Progress(until=time.monotonic() + check_seconds)
            try:
                found = examined(connection, scratch, columns, progress, is_strict=check_seconds > 0)
            except TimeoutError as error:
                logger.warning(
                    "whether this version reads the store as the one before was not found out: %s", error
                )
            else:
                if check_seconds:
                    _require(found)
                if is_filled:
                    fill(connection, scratch)
        return [one.name for one in applied]


def examined(
    connection: apsw.Connection,
    scratch: Path,
    columns: dict[str, tuple[str, ...]],
    progress: Progress,
    *,
    is_strict: bool = True,
) -> Upgrade:
    """A comparison of the rows in `columns` with those of this version; in the caller's transaction.

    If `is_strict`, events that cannot be read are reported; otherwise the error is raised.

    Raises:
        TimeoutError: the time of `progress` was over.
    """
    began = time.monotonic()
    try:
        rebuild.fold(connection, scratch, progress)
    except TimeoutError:
        raise
    except Exception:
        found = rebuild.unreadable(connection) if is_strict else []
        if not found:
            raise
        return Upgrade(position=progress.all_events, unreadable=found)
    report = rebuild.compared(connection, scratch, columns)
    return Upgrade(position=report.position, tables=report.tables, fold_seconds=time.monotonic() - began)


def fill(connection: apsw.Connection, scratch: Path) -> None:
    """Changes the rows to what was folded into `scratch`, in the caller's transaction."""
    report = rebuild.compared(connection, scratch)
    for portion in portions(report.streams):
        rebuild.repair(connection, portion, scratch)
    comparison.remove(connection, report.strays)


def columns_of(connection: apsw.Connection) -> dict[str, tuple[str, ...]]:
    """The columns of this version's tables that a file has, the key first; none of tables without the key."""
    found = {}
    for name, columns in TABLE_COLUMNS.items():
        there = {row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))}
        if columns[0] in there:
            found[name] = tuple(one for one in columns if one in there)
    return found


def _has_events(connection: apsw.Connection) -> bool:
    is_there = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'events'").get
    return bool(is_there and connection.execute("SELECT 1 FROM events LIMIT 1").get)


def _require(found: Upgrade) -> None:
    if found.unreadable:
        said = "; ".join(
            f"{counted(one.events, 'event')} of type {one.type}, the first at position {one.first_position} "
            f"({one.problem})"
            for one in found.unreadable[:5]
        )
        raise MigrationError(f"this version cannot read the store's log: {said}", _ADVICE)
    if found.differing:
        said = ", ".join(f"{count} of {name}" for name, count in found.differing.items())
        raise MigrationError(
            f"this version takes rows for others than are there: {said}; nothing was changed", _ADVICE
        )


def rehearsed(connection: apsw.Connection, scratch: Path) -> Upgrade:
    """The findings of `bring_up_to_date`, tried on a copy, which is rolled back afterwards.

    Raises:
        MigrationError: the file is a newer version's, or another program's, or a migration's SQL failed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        columns = columns_of(connection)
        applied = list(_timed(runner.apply(connection)))
        if not _has_events(connection):
            return Upgrade(migrations=[one for _, one in applied])
        outdated = installed_tables.outdated(connection)
        found = examined(connection, scratch, _without_outdated(connection, columns), Progress())
        found.migrations = [one for _, one in applied]
        if found.holds and outdated:
            _made_anew(connection)
        if found.holds and any(one.changes_rows for one, _ in applied):
            began = time.monotonic()
            fill(connection, scratch)
            found.fill_seconds = time.monotonic() - began
        return found
    finally:
        connection.execute("ROLLBACK")


def _timed(applied: Iterator[runner.Migration]) -> Iterator[tuple[runner.Migration, AppliedMigration]]:
    began = time.monotonic()
    for one in applied:
        yield one, AppliedMigration(name=one.name, seconds=time.monotonic() - began)
        began = time.monotonic()


def as_answer(found: Upgrade, **beside: Any) -> dict[str, Any]:
    """The findings in the form of an answer."""
    return {**beside, "holds": found.holds, **msgspec.to_builtins(found)}

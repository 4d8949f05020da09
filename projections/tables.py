"""All tables together, which are brought up to date by the events of one transaction."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import apsw

from domain.catalogue import INSTALLED
from domain.decider import Aggregate, Transition
from domain.installed.error import AggregateError
from domain.installed.library import Adapted
from domain.installed.loading import Installed
from migrations.rows import delete_rows
from projections import app_state, queues, rate_limits, schedules, tool_configs
from projections.derived import table_of
from projections.jobs import table as jobs
from projections.table import BesideTable, Row, Table, upsert_rows, write_rows


def _table_of(one: Installed) -> Table:
    """The table that an installed aggregate brings, or the one that follows from its decider."""
    if one.table is None:
        return table_of(one.decider)
    if isinstance(one.table, Adapted):
        brought = one.table
        return table_of(
            one.decider,
            brought.row_shape,
            row=brought.row,
            filters=brought.filters,
            mirrored=brought.mirrored,
        )
    if not isinstance(one.table, Table) or one.table.name != one.decider.table or not one.table.columns_made:
        raise AggregateError(
            one.source,
            f"its TABLE is not the table {one.decider.table} of its DECIDER",
            "make it with projections.derived.table_of, or leave it out",
        )
    return one.table


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        jobs.TABLE,
        queues.TABLE,
        schedules.TABLE,
        rate_limits.TABLE,
        tool_configs.TABLE,
        app_state.TABLE,
        *map(_table_of, INSTALLED),
    )
}
# The tables of aggregates that other distributions bring.
INSTALLED_TABLES: tuple[Table, ...] = tuple(table for table in TABLES.values() if table.columns_made)
# The tables whose rows are in KV buckets, too, for clients that watch them.
MIRRORED_TABLES: tuple[str, ...] = tuple(name for name, table in TABLES.items() if table.mirrored)
# Second tables, each with the table whose aggregates its rows belong to.
OWNERS: dict[str, tuple[Table, BesideTable]] = {
    table.beside.name: (table, table.beside) for table in TABLES.values() if table.beside is not None
}
# The columns of every table, including second ones.
TABLE_COLUMNS: dict[str, tuple[str, ...]] = {name: table.columns for name, table in TABLES.items()} | {
    name: beside.columns for name, (_, beside) in OWNERS.items()
}


def expired(connection: apsw.Connection, now: int, limit: int) -> list[tuple[str, str]]:
    """The aggregates that have expired by `now`, in milliseconds, as table and key.

    At most `limit` of each table with an expiry, the longest expired first.
    """
    found: list[tuple[str, str]] = []
    for table in TABLES.values():
        if table.expiry_column is not None:
            rows = connection.execute(
                f"SELECT {table.primary_key} FROM {table.name} WHERE {table.expiry_column} <= ?"
                f" ORDER BY {table.expiry_column} LIMIT ?",
                (now, limit),
            )
            found += [(table.name, table.aggregate_key(key)) for (key,) in rows]
    return found


def aggregates_of(table: str) -> Table:
    """The table whose aggregates own the rows of a table: the table itself, or the one it is second to."""
    return OWNERS[table][0] if table in OWNERS else TABLES[table]


def stream_column(table: str) -> str:
    """The column from which the stream of a row follows."""
    return OWNERS[table][1].owner if table in OWNERS else TABLES[table].primary_key


def write(connection: apsw.Connection, changes: Iterable[Transition]) -> None:
    """Brings every table up to date with these events, each row once. Nothing is committed here."""
    latest: defaultdict[str, dict[str, Aggregate]] = defaultdict(dict)
    second: defaultdict[str, BesideRows] = defaultdict(BesideRows)
    for change in changes:
        latest[change.table][change.key] = change.after
        if (beside := TABLES[change.table].beside) is not None:
            second[beside.name].take(beside, change)
    for name, aggregates in latest.items():
        table = TABLES[name]
        write_rows(connection, table, {key: row_of(table, one) for key, one in aggregates.items()})
    # After the first tables, because their rows refer to these.
    for name, rows in second.items():
        rows.write(connection, OWNERS[name][1])


class BesideRows:
    """The changes that some events make to the rows of a second table."""

    def __init__(self) -> None:
        self._rows: dict[Any, Row] = {}
        self._gone: list[str] = []

    def take(self, beside: BesideTable, change: Transition) -> None:
        """Adds the changes of one event."""
        recorded = change.recorded
        for row in beside.rows(change.before.state, change.after.state, recorded.event, recorded.recorded_at):
            self._rows[row[0]] = row
        if change.after.state is None:
            owner = TABLES[change.table].row_key(change.key)
            self._gone.append(owner)
            place = beside.owner_place
            self._rows = {key: row for key, row in self._rows.items() if row[place] != owner}

    def write(self, connection: apsw.Connection, beside: BesideTable) -> None:
        """Writes the changes. An aggregate that ended loses its old rows, even if it was made again since."""
        delete_rows(connection, beside.name, beside.owner, self._gone)
        upsert_rows(connection, beside.name, beside.columns, self._rows.values())


def row_of(table: Table, aggregate: Aggregate) -> Row | None:
    """The row of an aggregate; `None` if it does not exist, or has no row."""
    if aggregate.state is None:
        return None
    return table.row(aggregate.state, aggregate.version, aggregate.position)

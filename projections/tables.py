"""All the tables together, brought up to date by the events of one transaction."""

from collections import defaultdict
from collections.abc import Iterable

import apsw

from domain.catalogue import INSTALLED
from domain.decider import Aggregate, Transition
from domain.installed.error import AggregateError
from domain.installed.library import Adapted
from domain.installed.loading import Installed
from projections import app_state, jobs, queues, rate_limits, schedules, tool_configs
from projections.derived import table_of
from projections.job_history import HISTORY, HISTORY_COLUMNS, history_rows, write_history
from projections.table import Row, Table, write_rows


def _table_of(one: Installed) -> Table:
    """The table that an installed aggregate brings, or else the one that follows from its decider."""
    if one.table is None:
        return table_of(one.decider)
    if isinstance(one.table, Adapted):
        return table_of(one.decider, one.table.row_shape, row=one.table.row, filters=one.table.filters)
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
# The columns of every table, those of `job_history` too.
TABLE_COLUMNS: dict[str, tuple[str, ...]] = {name: table.columns for name, table in TABLES.items()} | {
    HISTORY: HISTORY_COLUMNS
}


def expired(connection: apsw.Connection, now: int, limit: int) -> list[tuple[str, str]]:
    """At most `limit` aggregates whose time is over by `now`, in milliseconds, by table and key.

    They are those of tables with an expiry, of each table the longest expired first.
    """
    found: list[tuple[str, str]] = []
    for table in TABLES.values():
        if table.expiry_column is not None and len(found) < limit:
            rows = connection.execute(
                f"SELECT {table.primary_key} FROM {table.name} WHERE {table.expiry_column} <= ?"
                f" ORDER BY {table.expiry_column} LIMIT ?",
                (now, limit - len(found)),
            )
            found += [(table.name, table.aggregate_key(key)) for (key,) in rows]
    return found


def stream_column(table: str) -> str:
    """The column that says which stream a row of a table belongs to."""
    return "job_id" if table == HISTORY else TABLES[table].primary_key


def write(connection: apsw.Connection, changes: Iterable[Transition]) -> None:
    """Brings every table up to date with these events, each row once. Nothing is committed here."""
    latest: defaultdict[str, dict[str, Aggregate]] = defaultdict(dict)
    history: dict[int, Row] = {}
    archived: list[str] = []
    for change in changes:
        latest[change.table][change.key] = change.after
        if change.table == jobs.TABLE.name:
            rows = history_rows(
                change.before.state, change.after.state, change.recorded.event, change.recorded.recorded_at
            )
            for row in rows:
                history[row[0]] = row
            if change.after.state is None:
                archived.append(change.key)
                history = {position: row for position, row in history.items() if row[1] != change.key}
    for name, aggregates in latest.items():
        table = TABLES[name]
        write_rows(connection, table, {key: row_of(table, one) for key, one in aggregates.items()})
    write_history(connection, history, archived)


def row_of(table: Table, aggregate: Aggregate) -> Row | None:
    """The row of an aggregate; `None` where there is none, or none any more."""
    if aggregate.state is None:
        return None
    return table.row(aggregate.state, aggregate.version, aggregate.position)

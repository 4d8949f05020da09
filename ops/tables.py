"""Joins the projections to the writer and to the queries: the bus knows the shape, not the tables."""

from collections.abc import Iterable, Iterator

import apsw

from bus.aggregates import Aggregate, Transition
from bus.due_jobs import WaitingJob
from projections import jobs, tables
from projections.table import as_json


class Tables:
    """The projections as the writer knows them."""

    def write(self, connection: apsw.Connection, transitions: Iterable[Transition]) -> None:
        """Brings every table up to date with a group's events."""
        tables.write(connection, transitions)

    def row_json(self, table: str, aggregate: Aggregate) -> bytes | None:
        """The row of an aggregate as `get` answers it; `None` where there is nothing."""
        definition = tables.TABLES[table]
        row = tables.row_of(definition, aggregate)
        return None if row is None else as_json(definition, row)

    def waiting_jobs(self, connection: apsw.Connection) -> Iterator[WaitingJob]:
        """Every job that waits, as the tables have it."""
        return (WaitingJob(*row) for row in jobs.waiting_jobs(connection))

    def running_jobs(self, connection: apsw.Connection) -> Iterator[str]:
        """The id of every running job, as the tables have it."""
        return jobs.running_jobs(connection)

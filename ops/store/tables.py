"""Joins the projections to the writer and to the queries: the bus knows the shape, not the tables."""

from collections.abc import Iterable, Iterator, Set

import apsw
import msgspec

from bus.log.reader_pool import ReaderPool
from bus.writing.job_indexes import OpenJob
from domain.decider import Aggregate, Transition
from domain.jobs.many import Search
from projections import app_state, jobs, schedules, tables
from projections.table import all_rows, as_json, get_row


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

    def open_jobs(self, connection: apsw.Connection) -> Iterator[OpenJob]:
        """Every unfinished job, as the tables have it."""
        return (msgspec.convert(row, OpenJob) for row in jobs.open_jobs(connection))

    def ended_dependencies(self, connection: apsw.Connection) -> Iterator[tuple[str, bool]]:
        """The finished jobs that others wait for, as the tables have it, and whether they failed."""
        return jobs.ended_dependencies(connection)

    def ended_jobs(
        self, connection: apsw.Connection, state: str, ended_until: int, limit: int
    ) -> Iterator[str]:
        """The ids of jobs that ended in a state, the earliest first, as the tables have it."""
        return jobs.ended_jobs(connection, state, ended_until, limit)

    def next_runs(self, connection: apsw.Connection) -> Iterator[tuple[str, int]]:
        """Every schedule that makes jobs, with the time of its next one, as the tables have it."""
        return schedules.next_runs(connection)

    def matching_jobs(
        self, connection: apsw.Connection, search: Search, limit: int
    ) -> Iterator[tuple[int, str]]:
        """At most `limit` jobs that are meant, as the tables have it: `created_position` and id, in order."""
        return jobs.matching_jobs(connection, search, limit)

    def unique_jobs(
        self, connection: apsw.Connection, key: str, states: Set[str], created_since: int
    ) -> Iterator[str]:
        """The ids of jobs with a unique key, the newest first, as the tables have it."""
        return jobs.unique_jobs(connection, key, states, created_since)

    def expired_states(self, connection: apsw.Connection, now: int, limit: int) -> list[str]:
        """At most `limit` keys of the state whose value has expired, the longest expired first."""
        return app_state.expired_keys(connection, now, limit)


class MirroredRows:
    """The rows of the tables as the mirrors know them."""

    def __init__(self, readers: ReaderPool) -> None:
        self._readers = readers

    def row_json(self, table: str, key: str) -> bytes | None:
        """The row of an aggregate as `get` answers it; `None` where there is nothing."""
        with self._readers.connection() as connection:
            return get_row(connection, tables.TABLES[table], key)

    def all_rows(self, table: str) -> Iterator[tuple[str, bytes]]:
        """Every row of a table with the key of its aggregate."""
        with self._readers.connection() as connection:
            yield from all_rows(connection, tables.TABLES[table])

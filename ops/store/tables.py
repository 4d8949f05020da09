"""Connects the projections to the writer and the mirrors: `bus` knows their interface, not the tables."""

from collections.abc import Iterable, Iterator

import apsw
import msgspec

from bus.contract.codec import MAXIMUM_ANSWER_BYTES
from bus.log.reader_pool import ReaderPool
from bus.writing.jobs.indexes import OpenJob
from domain.decider import Aggregate, Transition
from domain.errors import TooLarge
from projections import rate_limits, schedules, tables
from projections.jobs import table as jobs
from projections.reading import all_rows, get_row
from projections.table import as_json, listed_json

# A row must fit into an answer, and into a message of a mirror.
MAXIMUM_ROW_BYTES = MAXIMUM_ANSWER_BYTES - 64 * 1024
# The most bytes of a character in JSON: a control character becomes \u0001.
_MOST_BYTES = 6


class Tables:
    """The projections, with the interface that the writer needs."""

    ended_dependencies = staticmethod(jobs.ended_dependencies)
    ended_jobs = staticmethod(jobs.ended_jobs)
    expired_results = staticmethod(jobs.expired_results)
    group_states = staticmethod(jobs.group_states)
    matching_jobs = staticmethod(jobs.matching_jobs)
    unique_jobs = staticmethod(jobs.unique_jobs)
    next_runs = staticmethod(schedules.next_runs)
    throttled_limits = staticmethod(rate_limits.throttled_limits)
    expired = staticmethod(tables.expired)

    def write(self, connection: apsw.Connection, transitions: Iterable[Transition]) -> None:
        """Brings all tables up to date with the events of a group of commands."""
        tables.write(connection, transitions)

    def require_row(self, table: str, key: str, aggregate: Aggregate) -> None:
        """Returns if the row of an installed aggregate fits its table.

        Raises:
            TypeError: the row does not fit, or cannot be made.
            TooLarge: the row does not fit into an answer.
        """
        definition = tables.TABLES[table]
        row = tables.row_of(definition, aggregate)
        if row is None:
            return
        if (misfit := definition.misfit(row, key, aggregate.version, aggregate.position)) is not None:
            raise TypeError(f"the row of {table} does not fit: {misfit}")
        size = sum(len(value) for value in row if isinstance(value, str))
        # Only rows that may be too large are measured exactly.
        if (
            size > MAXIMUM_ROW_BYTES // _MOST_BYTES
            and (size := len(as_json(definition, row))) > MAXIMUM_ROW_BYTES
        ):
            raise TooLarge(
                f"the row of {table}/{key} would have {size} bytes, and may have {MAXIMUM_ROW_BYTES}",
                limit_bytes=MAXIMUM_ROW_BYTES,
                size_bytes=size,
            )

    def row_json(self, table: str, aggregate: Aggregate) -> bytes | None:
        """The row of an aggregate as `get` answers it; `None` if there is no row."""
        definition = tables.TABLES[table]
        row = tables.row_of(definition, aggregate)
        return None if row is None else as_json(definition, row)

    def listed_row_json(self, table: str, aggregate: Aggregate) -> bytes | None:
        """The row of an aggregate as `list` answers it; `None` if there is no row."""
        definition = tables.TABLES[table]
        row = tables.row_of(definition, aggregate)
        return None if row is None else listed_json(definition, row)

    def open_jobs(self, connection: apsw.Connection) -> Iterator[OpenJob]:
        """All unfinished jobs in the tables."""
        return (msgspec.convert(row, OpenJob) for row in jobs.open_jobs(connection))


class MirroredRows:
    """The rows of the tables, with the interface that the mirrors need."""

    def __init__(self, readers: ReaderPool) -> None:
        self._readers = readers

    def row_json(self, table: str, key: str) -> bytes | None:
        """The row of an aggregate as `get` answers it; `None` if there is no row."""
        with self._readers.connection() as connection:
            return get_row(connection, tables.TABLES[table], key)

    def all_rows(self, table: str) -> Iterator[tuple[str, bytes]]:
        """All rows of a table, each with the key of its aggregate."""
        with self._readers.connection() as connection:
            yield from all_rows(connection, tables.TABLES[table])

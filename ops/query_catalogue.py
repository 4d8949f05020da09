"""Every query that the service answers: each table's own, and those that the log answers for all of them."""

from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from bus import queries
from bus.aggregates import Aggregate
from bus.queries import MAXIMUM_ANSWER_BYTES, Moment, Page, QueryVerb, ReadEvents
from domain.errors import NotFound
from projections import job_statistics
from projections.job_statistics import JobStatistics, ListAttempts
from projections.table import Table, count_rows, get_row, list_rows
from projections.tables import TABLES

RowJson = Callable[[str, Aggregate], bytes | None]


def query_verbs(row_json: RowJson) -> dict[str, QueryVerb]:
    """The verbs by name, such as `jobs.get`."""
    verbs = [verb for table in TABLES.values() for verb in _of_table(table, row_json)]
    verbs.append(QueryVerb(name="events.read", shape=ReadEvents, answer=queries.read_events))
    verbs += _of_jobs()
    return {verb.name: verb for verb in verbs}


def _of_jobs() -> tuple[QueryVerb, ...]:
    def attempts(connection: apsw.Connection, query: Any) -> bytes:
        return job_statistics.attempts(connection, query, MAXIMUM_ANSWER_BYTES - 1024)

    return (
        QueryVerb(name="jobs.attempts", shape=ListAttempts, answer=attempts),
        QueryVerb(name="jobs.stats", shape=JobStatistics, answer=job_statistics.statistics),
    )


def _of_table(table: Table, row_json: RowJson) -> tuple[QueryVerb, ...]:
    def get(connection: apsw.Connection, query: Any) -> bytes:
        key = table.key_of(query)
        row = get_row(connection, table, key)
        if row is None:
            raise NotFound(f"there is no {table.name}/{key}")
        return row

    def listing(connection: apsw.Connection, query: Any) -> bytes:
        return list_rows(connection, table, query, maximum_bytes=MAXIMUM_ANSWER_BYTES - 1024)

    def count(connection: apsw.Connection, query: Any) -> bytes:
        return count_rows(connection, table, query)

    def history(connection: apsw.Connection, query: Any) -> bytes:
        return queries.history(connection, table.name, table.key_of(query), query.after, query.limit)

    def as_of(connection: apsw.Connection, query: Any) -> bytes:
        key = table.key_of(query)
        return queries.as_of(connection, table.name, key, query.position, query.time, row_json)

    return (
        QueryVerb(name=f"{table.name}.get", shape=table.get_query, answer=get),
        QueryVerb(name=f"{table.name}.list", shape=table.list_query, answer=listing),
        QueryVerb(name=f"{table.name}.count", shape=table.count_query, answer=count),
        QueryVerb(
            name=f"{table.name}.history",
            shape=_joined("History", table, Page, "The events of one stream, a page at a time."),
            answer=history,
        ),
        QueryVerb(
            name=f"{table.name}.as_of",
            shape=_joined("AsOf", table, Moment, "One row as it was at a position or a time."),
            answer=as_of,
        ),
    )


def _joined(name: str, table: Table, other: type[Any], summary: str) -> type[Any]:
    """The fields that name one row, and those of another struct."""
    camel = "".join(part.title() for part in table.name.split("_"))
    return msgspec.defstruct(
        f"{camel}{name}",
        [(field.name, field.type, field.default) for field in msgspec.structs.fields(other)],
        bases=(table.get_query,),
        namespace={"__doc__": summary},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )

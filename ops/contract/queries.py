"""All queries that the service answers: those of each table, and those of the log."""

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec

from bus.contract.codec import MAXIMUM_ANSWER_BYTES
from bus.contract.log_answers import EventChain, EventPage, FoundEvents, LogPage
from bus.contract.log_requests import FindChain, FindEvents, Moment, Page, ReadEvents
from bus.contract.names import SYSTEM, no_such_table
from bus.contract.rights import EVERYTHING, Rights
from bus.log import reading
from bus.log.chain import has_stream
from bus.log.search import find_chain, find_events
from bus.serving.permissions import limited, require_may_read
from bus.serving.queries.reading import Awaited, QueryVerb
from domain.catalogue import BY_TABLE
from domain.decider import Aggregate
from domain.errors import NotFound
from domain.jobs import TABLE as JOBS
from domain.jobs import events
from domain.jobs.workers import SeenWorker
from domain.messages import split_stream, stream_name
from ops.contract.availability import availability_verbs
from ops.contract.preview import preview_verb
from ops.contract.tool_config_diff import DiffToolConfig, ToolConfigDiff, diff
from projections.installed_tables import without_aggregate
from projections.jobs import statistics as job_statistics
from projections.jobs import workers as job_workers
from projections.jobs.board import BrowseJobs, JobSummary, browse_jobs
from projections.jobs.statistics import (
    AttemptPage,
    GroupProgress,
    JobGroup,
    JobStatistics,
    JobThroughput,
    ListAttempts,
    Statistics,
    Throughput,
    group_progress,
)
from projections.jobs.table import AwaitedJob, AwaitJob, awaited_job, has_ended
from projections.jobs.workers import JobWorkers, RunningJob, RunningJobs, Workers
from projections.reading import count_rows, get_row, list_rows
from projections.table import Count, GroupedCount, RowPage, Table
from projections.tables import TABLES

RowJson = Callable[[str, Aggregate], bytes | None]
SeenWorkers = Callable[[], Sequence[SeenWorker]]

# The events that end a job, or remove it from the table.
_ENDS = frozenset(
    name
    for name, event in BY_TABLE[JOBS].events.items()
    if event in (events.Completed, events.Failed, events.Cancelled, events.TimedOut, events.Archived)
)


def query_verbs(
    row_json: RowJson, clock: Callable[[], int], seen_workers: SeenWorkers = tuple
) -> dict[str, QueryVerb]:
    """The queries by name, such as `jobs.get`; `clock` answers with milliseconds since the epoch.

    `seen_workers` answers with the workers that asked for jobs lately, as far as this service knows them.
    """
    verbs: list[QueryVerb] = []
    for table in TABLES.values():
        verbs += (*_of_rows(table, clock), *_of_streams(table, row_json))
    verbs += availability_verbs(clock)
    verbs += (
        QueryVerb(
            name="tool_configs.diff",
            shape=DiffToolConfig,
            gives=ToolConfigDiff,
            answer=diff,
            limited=limited("tool_configs", diff, lambda query: query.tool_name),
        ),
        QueryVerb(
            name="events.read",
            shape=ReadEvents,
            gives=LogPage,
            answer=_of_known_tables(reading.read_events),
            limited=reading.read_events,
        ),
        QueryVerb(
            name="events.find", shape=FindEvents, gives=FoundEvents, answer=_of_known_tables(find_events)
        ),
        QueryVerb(name="events.chain", shape=FindChain, gives=EventChain, answer=find_chain),
    )
    verbs += (*_of_jobs(clock), *_of_workers(clock, seen_workers), _of_job_ends(clock), preview_verb(clock))
    return {verb.name: verb for verb in verbs}


def _of_known_tables(read: Callable[[Any, Any], bytes]) -> Callable[[Any, Any], bytes]:
    """`read`, but a table that does not exist is refused: its page would stay empty."""

    def answer(connection: apsw.Connection, query: Any) -> bytes:
        stream = query.stream
        table = query.table if stream is None else split_stream(stream)[0]
        if table in (None, SYSTEM, *BY_TABLE) or (stream is not None and has_stream(connection, stream)):
            return read(connection, query)
        path = "$.table" if stream is None else "$.stream"
        raise no_such_table(table, without_aggregate(connection), path=path)

    return answer


def _of_jobs(clock: Callable[[], int]) -> tuple[QueryVerb, ...]:
    def attempts(connection: apsw.Connection, query: Any) -> bytes:
        return job_statistics.attempts(connection, query, MAXIMUM_ANSWER_BYTES - 1024)

    def statistics(connection: apsw.Connection, query: Any) -> bytes:
        return job_statistics.statistics(connection, query, clock())

    def throughput(connection: apsw.Connection, query: Any) -> bytes:
        return job_statistics.throughput(connection, query, clock())

    return (
        QueryVerb(
            name="jobs.browse",
            shape=BrowseJobs,
            gives=RowPage[JobSummary],
            answer=browse_jobs,
            limited=limited(JOBS, browse_jobs),
        ),
        QueryVerb(
            name="jobs.attempts",
            shape=ListAttempts,
            gives=AttemptPage,
            answer=attempts,
            limited=limited(JOBS, attempts, lambda query: query.id),
        ),
        QueryVerb(
            name="jobs.group",
            shape=JobGroup,
            gives=GroupProgress,
            answer=group_progress,
            limited=limited(JOBS, group_progress, lambda query: query.group_id),
        ),
        QueryVerb(
            name="jobs.stats",
            shape=JobStatistics,
            gives=Statistics,
            answer=statistics,
            limited=limited(JOBS, statistics),
        ),
        QueryVerb(
            name="jobs.throughput",
            shape=JobThroughput,
            gives=Throughput,
            answer=throughput,
            limited=limited(JOBS, throughput),
        ),
    )


def _of_workers(clock: Callable[[], int], seen: SeenWorkers) -> tuple[QueryVerb, ...]:
    def workers(connection: apsw.Connection, query: Any) -> bytes:
        return job_workers.workers(connection, query, clock(), MAXIMUM_ANSWER_BYTES - 1024, seen())

    def running(connection: apsw.Connection, query: Any) -> bytes:
        return job_workers.running(connection, query, MAXIMUM_ANSWER_BYTES - 1024)

    return (
        QueryVerb(
            name="jobs.workers",
            shape=JobWorkers,
            gives=Workers,
            answer=workers,
            limited=limited(JOBS, workers),
        ),
        QueryVerb(
            name="jobs.running",
            shape=RunningJobs,
            gives=RowPage[RunningJob],
            answer=running,
            limited=limited(JOBS, running),
        ),
    )


def _of_job_ends(clock: Callable[[], int]) -> QueryVerb:
    def end(connection: apsw.Connection, query: Any) -> bytes:
        return awaited_job(_row_of(connection, TABLES[JOBS], query.id, clock()))

    return QueryVerb(
        name="jobs.await",
        shape=AwaitJob,
        gives=AwaitedJob,
        answer=end,
        limited=limited(JOBS, end, lambda query: query.id),
        awaits=Awaited(
            stream=lambda query: stream_name(JOBS, query.id),
            events=_ENDS,
            timeout_ms=lambda query: query.timeout_ms,
            is_over=has_ended,
        ),
    )


def _of_rows(table: Table, clock: Callable[[], int]) -> tuple[QueryVerb, ...]:
    def get(connection: apsw.Connection, query: Any) -> bytes:
        return _row_of(connection, table, table.key_of(query), clock())

    def listing(connection: apsw.Connection, query: Any, rights: Rights = EVERYTHING) -> bytes:
        limit_bytes = MAXIMUM_ANSWER_BYTES - 1024
        require_may_read(rights, table.name)
        return list_rows(connection, table, query, now=clock(), maximum_bytes=limit_bytes, keys=rights.keys)

    def count(connection: apsw.Connection, query: Any, rights: Rights = EVERYTHING) -> bytes:
        require_may_read(rights, table.name)
        return count_rows(connection, table, query, now=clock(), keys=rights.keys)

    page: Any = RowPage
    return (
        QueryVerb(
            name=f"{table.name}.get",
            shape=table.get_query,
            gives=table.shape,
            answer=get,
            is_lookup=True,
            limited=limited(table.name, get, table.key_of),
        ),
        QueryVerb(
            name=f"{table.name}.list",
            shape=table.list_query,
            gives=page[table.listed],
            answer=listing,
            limited=listing,
        ),
        QueryVerb(
            name=f"{table.name}.count",
            shape=table.count_query,
            gives=GroupedCount if hasattr(table.count_query, "by") else Count,
            answer=count,
            limited=count,
        ),
    )


def _row_of(connection: apsw.Connection, table: Table, key: str, now: int) -> bytes:
    row = get_row(connection, table, key, now=now)
    if row is None:
        raise NotFound(f"there is no {table.name}/{key}")
    return row


def _of_streams(table: Table, row_json: RowJson) -> tuple[QueryVerb, ...]:
    def history(connection: apsw.Connection, query: Any) -> bytes:
        return reading.history(connection, table.name, table.key_of(query), query.after, query.limit)

    def as_of(connection: apsw.Connection, query: Any) -> bytes:
        def as_then(name: str, aggregate: Aggregate) -> bytes | None:
            # At a position, the row is as its event made it. At a time, it may have expired.
            if query.time is not None and not BY_TABLE[name].exists(aggregate.state, query.time):
                return None
            return row_json(name, aggregate)

        key = table.key_of(query)
        return reading.as_of(connection, table.name, key, query.position, query.time, as_then)

    return (
        QueryVerb(
            name=f"{table.name}.history",
            shape=_joined("History", table, Page, "The events of one stream, a page at a time."),
            gives=EventPage,
            answer=history,
            limited=limited(table.name, history, table.key_of),
        ),
        QueryVerb(
            name=f"{table.name}.as_of",
            shape=_joined("AsOf", table, Moment, "One row as it was at a position or a time."),
            gives=table.shape,
            answer=as_of,
            limited=limited(table.name, as_of, table.key_of),
        ),
    )


def _joined(name: str, table: Table, other: type[Any], summary: str) -> type[Any]:
    """A struct with the fields that identify a row, and those of `other`."""
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

"""The table `jobs`, with one row for each job."""

from collections.abc import Iterator, Set
from typing import Annotated, Any, Literal

import apsw
import msgspec

from domain import jobs
from domain.jobs import Job, events
from domain.jobs.many import Search
from domain.jobs.rows import JobRow, WholeJobRow
from domain.jobs.state import FINISHED, State, Status, status_of
from domain.messages import Json, Key, Name, Time, about
from projections.jobs.history import BESIDE_JOBS
from projections.table import Row, Table, page_query

# Only the letters from A to Z are compared without regard to case.
HAS_TEXT = "instr(lower(jobs.id || char(10) || jobs.name), lower(?)) > 0"
HAS_TAG = "EXISTS (SELECT 1 FROM json_each(jobs.tags) WHERE value = ?)"


CountBy = Literal["status", "state", "type", "queue", "tool", "worker", "group_id"]


# The longest that one query waits; a client that wants to wait longer asks again.
LONGEST_AWAIT_MS = 60_000
# Less than the default time that clients wait for an answer.
DEFAULT_AWAIT_MS = 3_000

_HAS_ENDED = b'{"has_ended":true,"job":'
_GOES_ON = b'{"has_ended":false,"job":'


class GetJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job."""

    id: Key


class JobFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs that match the filters; ranges of times include both ends."""

    status: Status | None = None
    state: State | None = None
    type: Name | None = None
    queue: Key | None = None
    tool: Name | None = None
    worker: Name | None = None
    tag: Name | None = None
    text: Name | None = None
    unique_key: Name | None = None
    schedule_id: Key | None = None
    created_from: Time | None = None
    created_until: Time | None = None
    run_from: Time | None = None
    run_until: Time | None = None
    completed_from: Time | None = None
    completed_until: Time | None = None
    group_id: Key | None = None
    concurrency_key: Name | None = None


class CountJobs(JobFilter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many jobs match the filters and, with `by`, how many of them have each value of that column."""

    by: CountBy | None = None


class AwaitJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job as soon as it has ended, or as it is when `timeout_ms` are over.

    The client must wait for the answer for longer than `timeout_ms`.
    """

    id: Key
    timeout_ms: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_AWAIT_MS)] = DEFAULT_AWAIT_MS


class AwaitedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was waited for."""

    has_ended: Annotated[bool, about("false if the time ran out first")]
    job: WholeJobRow


def _row(job: Job, version: int, position: int) -> Row:
    # Two tuples, because Python makes a list first for more than 30 values.
    first = (
        job.id,
        job.type,
        job.name,
        job.priority,
        status_of(job.state),
        job.tool,
        job.endpoint,
        _json(job.payload),
        _json(job.result),
        job.created_at,
        job.updated_at,
        job.started_at,
        job.completed_at,
        job.retry_count,
        job.updated_at if job.persisted_at is None else job.persisted_at,
        job.recovery_attempts,
        job.state,
        job.queue,
        job.run_at,
        job.attempt,
        job.max_attempts,
        job.worker,
        job.error,
        int(job.cancel_requested),
    )
    rest = (
        None if job.progress is None else msgspec.json.encode(job.progress).decode(),
        job.created_position,
        job.timeout_ms,
        job.deadline_at,
        _array(job.tags) if job.tags else "[]",
        job.unique_key,
        _array(job.depends_on) if job.depends_on else "[]",
        _array(job.waiting_for) if job.waiting_for else "[]",
        job.on_dependency_failure,
        job.schedule_id,
        version,
        position,
        None if job.budget is None else msgspec.json.encode(job.budget).decode(),
        job.cancel_reason,
        None if job.retry is None else msgspec.json.encode(job.retry).decode(),
        job.group_id,
        None if job.after_group is None else msgspec.json.encode(job.after_group).decode(),
        None if job.concurrency is None else msgspec.json.encode(job.concurrency).decode(),
        None if job.rate is None else msgspec.json.encode(job.rate).decode(),
        job.result_ttl_ms,
        job.traceback,
    )
    return first + rest


def _json(value: Json) -> str | None:
    return None if value == events.NO_RESULT else bytes(value).decode()


def _array(texts: tuple[str, ...]) -> str:
    return msgspec.json.encode(texts).decode()


TABLE = Table(
    name=jobs.TABLE,
    shape=WholeJobRow,
    shorter=JobRow,
    beside=BESIDE_JOBS,
    row=_row,
    get_query=GetJob,
    key_of=lambda query: str(query.id),
    count_query=CountJobs,
    list_query=page_query(
        JobFilter, "Jobs that match the filters, in the order of their ids.", name="ListJobs"
    ),
    conditions={
        "tag": HAS_TAG,
        "text": HAS_TEXT,
        "created_from": "created_at >= ?",
        "created_until": "created_at <= ?",
        "run_from": "run_at >= ?",
        "run_until": "run_at <= ?",
        "completed_from": "completed_at >= ?",
        "completed_until": "completed_at <= ?",
        "concurrency_key": "concurrency ->> 'key' = ?",
    },
)


class _Said(msgspec.Struct):
    state: str


def awaited_job(row: bytes) -> bytes:
    """The answer to `AwaitJob` with a job's row."""
    state = msgspec.json.decode(row, type=_Said).state
    return (_HAS_ENDED if state in FINISHED else _GOES_ON) + row + b"}"


def has_ended(answer: bytes) -> bool:
    """Whether an answer to `AwaitJob` has a job that has ended."""
    return answer.startswith(_HAS_ENDED)


_OPEN_COLUMNS = (
    "id",
    "type",
    "priority",
    "queue",
    "state",
    "run_at",
    "created_position",
    "deadline_at",
    "unique_key",
    "waiting_for",
    "on_dependency_failure",
    "budget",
    "after_group",
    "concurrency",
    "rate",
)


def open_jobs(connection: apsw.Connection) -> Iterator[dict[str, Any]]:
    """Every unfinished job, with the columns that the order of jobs depends on."""
    for row in connection.execute(
        f"SELECT {', '.join(_OPEN_COLUMNS)} FROM jobs"
        " WHERE status IN ('pending', 'held', 'retrying', 'running')"
    ):
        named = dict(zip(_OPEN_COLUMNS, row, strict=True))
        structs = ((name, named[name]) for name in ("budget", "after_group", "concurrency", "rate"))
        yield named | {
            "waiting_for": msgspec.json.decode(named["waiting_for"]),
            **{name: None if text is None else msgspec.json.decode(text) for name, text in structs},
        }


def ended_dependencies(connection: apsw.Connection) -> Iterator[tuple[str, bool]]:
    """The finished jobs that other jobs wait for, and whether each did not complete."""
    for job_id, state in connection.execute(
        "SELECT id, state FROM jobs WHERE completed_at IS NOT NULL AND id IN"
        " (SELECT value FROM jobs, json_each(waiting_for)"
        " WHERE status IN ('pending', 'held') AND waiting_for <> '[]')"
    ):
        yield job_id, state != "completed"


def group_states(connection: apsw.Connection, group_id: str) -> Iterator[tuple[str, int]]:
    """The number of jobs of a group in each state, read from an index."""
    yield from connection.execute(
        "SELECT state, count(*) FROM jobs WHERE group_id = ? GROUP BY state", (group_id,)
    )


def unique_jobs(connection: apsw.Connection, key: str, states: Set[str], created_since: int) -> Iterator[str]:
    """The ids of the jobs with a unique key that are in one of these states, the newest first.

    Jobs that were created before `created_since` are left out.
    """
    for job_id, state, created_at in connection.execute(
        "SELECT id, state, created_at FROM jobs WHERE unique_key = ? ORDER BY created_position DESC", (key,)
    ):
        if created_at < created_since:
            return
        if state in states:
            yield job_id


def matching_jobs(connection: apsw.Connection, search: Search, limit: int) -> Iterator[tuple[int, str]]:
    """At most `limit` jobs that match a search, the oldest first: `created_position` and id."""
    if not search.states:
        return
    where = ["state IN (SELECT value FROM carray(?))", "status IN (SELECT value FROM carray(?))"]
    states = tuple(search.states)
    # The status is given, too, since its index finds jobs without reading those that finished long ago.
    bindings: list[Any] = [apsw.carray(states), apsw.carray(tuple(map(status_of, states)))]
    for condition, value in (
        ("type = ?", search.type),
        ("queue = ?", search.queue),
        ("tool = ?", search.tool),
        (HAS_TAG, search.tag),
        ("created_at <= ?", search.created_until),
        ("group_id = ?", search.group_id),
        ("cancel_requested = ?", None if search.cancel_requested is None else int(search.cancel_requested)),
    ):
        if value is not None:
            where.append(condition)
            bindings.append(value)
    yield from connection.execute(
        f"SELECT created_position, id FROM jobs WHERE {' AND '.join(where)} ORDER BY 1 LIMIT ?",
        (*bindings, limit),
    )


def waiting_for_calls(
    connection: apsw.Connection, platform: str, resource: str | None, identifier: str | None, now: int
) -> tuple[int, int]:
    """The number of due jobs without a worker that draw on a rate limit, and the cost of the cheapest."""
    found: tuple[int, int] | None = connection.execute(
        "SELECT count(*), coalesce(min(coalesce(budget ->> 'cost', 1)), 0) FROM jobs"
        " WHERE budget IS NOT NULL AND completed_at IS NULL"
        " AND budget ->> 'platform' = ? AND budget ->> 'resource' IS ? AND budget ->> 'identifier' IS ?"
        " AND state IN ('scheduled', 'pending', 'retrying') AND run_at <= ?",
        (platform, resource, identifier, now),
    ).fetchone()
    assert found is not None
    return found


def ended_jobs(
    connection: apsw.Connection, state: str, ended_until: int, behind: tuple[int, str, int], limit: int
) -> Iterator[tuple[str, str | None, tuple[int, str, int]]]:
    """At most `limit` jobs that ended in a state, at `ended_until` or before, in the order of their index.

    Each comes as its id, its group and its place in that order; only jobs with places after `behind`.
    """
    for job_id, group_id, *place in connection.execute(
        "SELECT id, group_id, completed_at, queue, rowid FROM jobs INDEXED BY idx_jobs_finished"
        " WHERE state = ? AND completed_at <= ? AND (completed_at, queue, rowid) > (?, ?, ?)"
        " ORDER BY completed_at, queue, rowid LIMIT ?",
        (state, ended_until, *behind, limit),
    ):
        yield job_id, group_id, (place[0], place[1], place[2])


def expired_results(
    connection: apsw.Connection, now: int, behind: tuple[int, str, int], limit: int
) -> Iterator[tuple[str, str | None, tuple[int, str, int]]]:
    """At most `limit` completed jobs whose results have expired by `now`, the longest expired first.

    Each comes as its id, its group and its place in that order; only jobs with places after `behind`.
    """
    expires_at, _, row = behind
    for job_id, group_id, at, rowid in connection.execute(
        "SELECT id, group_id, completed_at + result_ttl_ms, rowid FROM jobs INDEXED BY idx_jobs_result_times"
        " WHERE result_ttl_ms IS NOT NULL AND state = 'completed'"
        " AND completed_at + result_ttl_ms BETWEEN ? AND ? AND (completed_at + result_ttl_ms, rowid) > (?, ?)"
        " ORDER BY completed_at + result_ttl_ms, rowid LIMIT ?",
        (expires_at, now, expires_at, row, limit),
    ):
        yield job_id, group_id, (at, "", rowid)

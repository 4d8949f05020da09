"""Jobs as people look for them: the newest first, without payload and result."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import apsw
import msgspec

from domain.jobs.rows import JobProgress
from domain.jobs.state import FINISHED, State, status_of
from domain.messages import Key, Name, about
from projections import reading
from projections.jobs.table import HAS_TAG, HAS_TEXT
from projections.reading import Condition, all_of
from projections.table import row_json

# The most rows that a page looks at, even if few of them match the filters.
MAXIMUM_SCANNED_ROWS = 10_000
_ERROR_CHARACTERS = 300
# The beginning of a traceback of Python; the error itself is at its end.
TRACEBACK = "Traceback (most recent call last):"
_END_CHARACTERS = _ERROR_CHARACTERS - len(TRACEBACK) - len("\n…")
_BRIEF_ERROR = (
    f"CASE WHEN length(error) > {_ERROR_CHARACTERS} AND substr(error, 1, {len(TRACEBACK)}) = '{TRACEBACK}'"
    f" THEN '{TRACEBACK}' || char(10) || '…' || substr(error, -{_END_CHARACTERS})"
    f" ELSE substr(error, 1, {_ERROR_CHARACTERS}) END"
)


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A job without its large columns. Times are milliseconds since the epoch."""

    id: str
    type: str
    name: str
    priority: Annotated[int, about("1 low, 2 medium, 3 high, 4 critical")]
    state: State
    queue: str
    tool: str | None
    attempt: Annotated[int, about("the number of the attempt, 0 before the first one")]
    max_attempts: int
    run_at: int
    created_at: int
    started_at: int | None
    completed_at: int | None
    updated_at: int
    worker: str | None
    error: Annotated[str | None, about("the beginning of the error, or the end of a Python traceback")]
    cancel_requested: bool
    progress: JobProgress | None
    tags: tuple[str, ...]


COLUMNS = JobSummary.__struct_fields__
_SHOWN = ", ".join(_BRIEF_ERROR if column == "error" else column for column in COLUMNS)


class BrowseJobs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Jobs that match the filters, the newest first: finished ones by their end, others by their creation.

    Large columns are left out or cut: there is no payload and no result, only the beginning of an error, and
    only the end of a traceback of Python.
    """

    state: State | None = None
    type: Name | None = None
    queue: Key | None = None
    tool: Name | None = None
    tag: Name | None = None
    text: Name | None = None
    group_id: Key | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: Annotated[str, msgspec.Meta(pattern=r"^\d{1,15}-\d{1,18}$")] | None = None


def browse_jobs(connection: apsw.Connection, query: BrowseJobs) -> bytes:
    """`{"items": […], "next": cursor or null}`, the newest first.

    A page looks at a limited number of rows. So it may hold few jobs or none, and still have a next page.
    """
    items: list[bytes] = []
    last = query.after
    following = None
    for scanned, (at, row, is_meant, *columns) in enumerate(_rows(connection, query)):
        if scanned == MAXIMUM_SCANNED_ROWS or (is_meant and len(items) == query.limit):
            following = last
            break
        if is_meant:
            items.append(row_json(JobSummary, columns))
        last = f"{at}-{row}"
    return b'{"items":[%s],"next":%s}' % (b",".join(items), msgspec.json.encode(following))


def summaries(connection: apsw.Connection, ids: Iterable[str]) -> dict[str, Any]:
    """Jobs by their ids, each in the form of `browse_jobs`; jobs that no longer exist are left out."""
    rows = connection.execute(
        f"SELECT {_SHOWN} FROM jobs WHERE id IN (SELECT value FROM json_each(?))",
        (msgspec.json.encode(tuple(ids)).decode(),),
    )
    return {row[0]: msgspec.json.decode(row_json(JobSummary, row)) for row in rows}


def _rows(connection: apsw.Connection, query: BrowseJobs) -> Iterator[Any]:
    """The newest rows, one more than a page may look at, each with whether it matches the filters."""
    at, by_time, where = _order(query.state)
    rare = _rare(query)
    given = (
        ("type = ?", query.type),
        ("queue = ?", query.queue),
        ("tool = ?", query.tool),
        (HAS_TAG, query.tag),
        (HAS_TEXT, query.text),
        ("group_id = ?", query.group_id),
        ("state = ?", query.state),
    )
    filters = all_of(*(([sql], [value]) for sql, value in given if value is not None))
    meant, values = _sql(filters), filters[1]
    if query.after is not None:
        moment, _, row = query.after.partition("-")
        where = all_of(where, ([f"({at}, jobs.rowid) < (?, ?)"], [int(moment), int(row)]))
    newest_first = f"ORDER BY {at} DESC, jobs.rowid DESC LIMIT ?"
    index = by_time
    if rare is not None:
        newest = f"SELECT * FROM jobs INDEXED BY {by_time} WHERE {_sql(where)} {newest_first}"
        found = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM ({newest}) AS jobs WHERE {meant} LIMIT ?)",
            (*where[1], query.limit + reading.ROWS_LOOKED_AT, *values, query.limit + 1),
        ).get
        if found <= query.limit:
            index, where = rare[0], all_of(where, rare[1])
    return connection.execute(
        f"SELECT {at}, jobs.rowid, {meant}, {_SHOWN} FROM jobs INDEXED BY {index}"
        f" WHERE {_sql(where)} {newest_first}",
        (*values, *where[1], MAXIMUM_SCANNED_ROWS + 1),
    )


def _sql(condition: Condition) -> str:
    return " AND ".join(condition[0]) or "true"


def _order(state: str | None) -> tuple[str, str, Condition]:
    """The order of the jobs: the column of the time, the index on it, and the condition for its rows."""
    if state in FINISHED:
        return "completed_at", "idx_jobs_finished", (["state = ? AND completed_at IS NOT NULL"], [state])
    return "created_at", "idx_jobs_created_at", ([], [])


def _rare(query: BrowseJobs) -> tuple[str, Condition] | None:
    """Another index, which finds jobs that are not among the newest, if it has few enough to be sorted."""
    if query.group_id is not None:
        return "idx_jobs_group", (["group_id = ?"], [query.group_id])
    if query.state is not None and query.state not in FINISHED:
        return "idx_jobs_status", (["status = ? AND state = ?"], [status_of(query.state), query.state])
    return None

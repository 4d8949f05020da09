"""Queries about many jobs: their attempts, statistics of the queues, and the progress of a group."""

from typing import Annotated, Any

import apsw
import msgspec

from domain.jobs.state import FINISHED
from domain.messages import Key, Time, about
from projections.jobs.history import HISTORY_COLUMNS, JobAttemptRow
from projections.reading import page_of

# The most attempts of a window, the latest, from which percentiles are computed: a sample that limits the
# query.
MAXIMUM_SAMPLED_ATTEMPTS = 100_000
MAXIMUM_QUEUES = 1_000
_BEFORE_ALL = -(2**62)
# The statuses of failed attempts. Others but `completed` were given back, or cancelled.
_FAILED = ("failed", "timeout", "rescued")


class ListAttempts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The attempts of a job, the first one first; with `after`, the `next` of the page before."""

    id: Key
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    # Attempts that were imported have negative ids.
    after: Annotated[int, msgspec.Meta(ge=_BEFORE_ALL, le=2**62)] | None = None


class JobStatistics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Figures of the queues: jobs by state, overdue jobs, and the attempts of the last `window_ms`.

    The window ends at `until`, in milliseconds since the epoch, or now. Without `percentiles`, which take
    longest where many attempts ended, `wait_ms` and `run_ms` are null.
    """

    queue: Key | None = None
    window_ms: Annotated[int, msgspec.Meta(ge=1_000, le=366 * 86_400_000)] = 3_600_000
    until: Time | None = None
    percentiles: bool = True


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts that failed, took too long or lost their worker, and jobs that have no attempt left."""

    attempts: int
    jobs: int


class AttemptPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the attempts of a job, in the order in which they began."""

    items: tuple[JobAttemptRow, ...]
    next: Annotated[int | None, about("the `after` of the next page, null on the last page")]


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """The milliseconds that 50, 95 and 99 per cent of the attempts did not exceed, and the maximum."""

    p50: int
    p95: int
    p99: int
    max: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of all queues together."""

    states: Annotated[dict[str, int], about("how many jobs are in each state")]
    overdue: Annotated[int, about("how many jobs are due and still wait")]
    oldest_due_at: Annotated[int | None, about("when the longest overdue job became due")]
    oldest_due_id: Annotated[str | None, about("the longest overdue job")]
    attempts: Annotated[dict[str, int], about("how many attempts ended in the window, by outcome")]


class QueueStatistics(Totals, frozen=True, kw_only=True):
    """The figures of one queue."""

    wait_ms: Annotated[Percentiles | None, about("from being due to being claimed")]
    run_ms: Annotated[Percentiles | None, about("from being claimed to the end")]


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of the queues. Times are milliseconds since the epoch."""

    since: int
    until: int
    total: Annotated[Totals, about("the sum of all queues asked for, including those left out")]
    queues: Annotated[dict[str, QueueStatistics], about(f"by name, {MAXIMUM_QUEUES:,} at most")]
    queues_left_out: Annotated[int, about("how many queues were left out; each can be asked for by name")]


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts that ended in a window. Times are milliseconds since the epoch."""

    since: int
    until: int
    part_ms: Annotated[int, about("the length of each part, in milliseconds")]
    parts: Annotated[
        tuple[dict[str, int], ...],
        about("the attempts that ended in each part, by outcome; the oldest part first"),
    ]


class JobThroughput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The attempts that ended in the last `window_ms` until now, in `parts` of the same length."""

    queue: Key | None = None
    window_ms: Annotated[int, msgspec.Meta(ge=60_000, le=31 * 86_400_000)] = 3_600_000
    parts: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 60


class JobGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The progress of a group of jobs: how many are in each state, and how many of all have ended.

    Archived jobs do not count. A group without jobs is empty.
    """

    group_id: Key


class GroupProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a group of jobs. Times are milliseconds since the epoch."""

    group_id: str
    total: Annotated[int, about("how many jobs the group has")]
    done: Annotated[int, about("how many of them have ended, in whatever state")]
    percent: Annotated[float | None, about("the share of `done` in percent; null if the group has no jobs")]
    states: Annotated[
        dict[str, int], about("how many jobs are in each state; states without jobs are left out")
    ]
    began_at: Annotated[int | None, about("when the first attempt of any job of the group began")]
    ended_at: Annotated[int | None, about("when the latest of the ended jobs ended; null if none has")]


def attempts(connection: apsw.Connection, query: ListAttempts, maximum_bytes: int) -> bytes:
    """`{"items": […], "next": … or null}`: a row of `job_history` each, in the order in which they began."""
    rows = connection.execute(
        f"SELECT {', '.join(HISTORY_COLUMNS)} FROM job_history WHERE job_id = ? AND id > coalesce(?, ?)"
        " ORDER BY id LIMIT ?",
        (query.id, query.after, _BEFORE_ALL, query.limit + 1),
    )
    found = ((row[0], msgspec.json.encode(dict(zip(HISTORY_COLUMNS, row, strict=True)))) for row in rows)
    return page_of(found, query.limit, maximum_bytes)


def statistics(connection: apsw.Connection, query: JobStatistics, now: int) -> bytes:
    """`{"since", "until", "total", "queues": {name: {"states", "oldest_due_at", "overdue", …}}, …}`.

    `oldest_due_id` is the job that is overdue for longest. `attempts` counts the attempts that ended in the
    window, by their statuses. `wait_ms` (from being due to being claimed) and `run_ms` (from being claimed to
    the end) have the 50th, 95th and 99th percentiles and the maximum.
    """
    until = now if query.until is None else query.until
    since = until - query.window_ms
    found = _Found()
    for name, state, count in _states(connection, query.queue):
        found.count("states", name, state, count)
    for name, oldest, job_id, count in _overdue(connection, query.queue, until):
        found.overdue(name, oldest, job_id, count)
    for name, status, count in _ended(connection, query.queue, since, until):
        found.count("attempts", name, status, count)
    for column in ("wait_ms", "run_ms") if query.percentiles else ():
        for name, *percentiles in _percentiles(connection, column, query.queue, since, until):
            found.of(name)[column] = dict(zip(("p50", "p95", "p99", "max"), percentiles, strict=True))
    return msgspec.json.encode({"since": since, "until": until, **found.told()})


def group_progress(connection: apsw.Connection, query: JobGroup) -> bytes:
    """The progress of a group, as JSON; read from an index alone, in 0.1 ms for each 1,000 jobs."""
    rows: list[Any] = connection.execute(
        "SELECT state, count(*), min(started_at), max(completed_at) FROM jobs INDEXED BY idx_jobs_group"
        " WHERE group_id = ? GROUP BY state ORDER BY state",
        (query.group_id,),
    ).fetchall()
    total = sum(count for _, count, _, _ in rows)
    done = sum(count for state, count, _, _ in rows if state in FINISHED)
    progress: dict[str, Any] = {
        "group_id": query.group_id,
        "total": total,
        "done": done,
        # Rounded down, so that 100 means all of them.
        "percent": (1_000 * done // total) / 10 if total else None,
        "states": {state: count for state, count, _, _ in rows},
        "began_at": min((row[2] for row in rows if row[2] is not None), default=None),
        "ended_at": max((row[3] for row in rows if row[3] is not None), default=None),
    }
    return msgspec.json.encode(progress)


class _Found:
    """The statistics of each queue, up to `MAXIMUM_QUEUES`, and of all queues together."""

    def __init__(self) -> None:
        self._queues: dict[str, dict[str, Any]] = {}
        self._left_out: set[str] = set()
        self._total = of_no_jobs()

    def of(self, name: str) -> dict[str, Any]:
        """The statistics of a queue, to be filled in; those of one queue too many are thrown away."""
        if name not in self._queues and len(self._queues) >= MAXIMUM_QUEUES:
            self._left_out.add(name)
            return of_no_jobs()
        return self._queues.setdefault(name, of_no_jobs())

    def count(self, what: str, name: str, which: str, number: int) -> None:
        self.of(name)[what][which] = number
        self._total[what][which] = self._total[what].get(which, 0) + number

    def overdue(self, name: str, oldest: int, job_id: str, number: int) -> None:
        self.of(name).update(oldest_due_at=oldest, oldest_due_id=job_id, overdue=number)
        self._total["overdue"] += number
        before = self._total["oldest_due_at"]
        if before is None or oldest < before:
            self._total |= {"oldest_due_at": oldest, "oldest_due_id": job_id}

    def told(self) -> dict[str, Any]:
        total = {name: self._total[name] for name in Totals.__struct_fields__}
        return {"total": total, "queues": self._queues, "queues_left_out": len(self._left_out)}


def failed_since(connection: apsw.Connection, since: int) -> Failed:
    """The failed attempts and jobs since a moment, at most an hour or so ago, counted in indexes alone."""
    attempts_failed = connection.execute(
        "SELECT count(*) FROM job_history INDEXED BY idx_job_history_completed"
        f" WHERE completed_at > ? AND status IN {_FAILED}",
        (since,),
    ).get
    jobs_failed = connection.execute(
        "SELECT count(*) FROM jobs INDEXED BY idx_jobs_finished"
        " WHERE state IN ('failed', 'timeout') AND completed_at > ?",
        (since,),
    ).get
    return Failed(attempts=attempts_failed, jobs=jobs_failed)


def outcomes(attempts: dict[str, int]) -> dict[str, int]:
    """The numbers of completed, failed and other attempts, from the numbers by status."""
    completed = attempts.get("completed", 0)
    failed = sum(attempts.get(how, 0) for how in _FAILED)
    return {"completed": completed, "failed": failed, "others": sum(attempts.values()) - completed - failed}


def throughput(connection: apsw.Connection, query: JobThroughput, now: int) -> bytes:
    """`{"since", "until", "part_ms", "parts": [{status: count}, …]}`, the oldest part first."""
    part_ms = query.window_ms // query.parts
    since = now - part_ms * query.parts
    parts: list[dict[str, int]] = [{} for _ in range(query.parts)]
    for number, status, count in connection.execute(
        "SELECT (completed_at - ?2 - 1) / ?4, status, count(*) FROM job_history"
        " WHERE completed_at > ?2 AND completed_at <= ?3 AND (?1 IS NULL OR queue = ?1) GROUP BY 1, 2",
        (query.queue, since, now, part_ms),
    ):
        parts[number][status] = count
    return msgspec.json.encode({"since": since, "until": now, "part_ms": part_ms, "parts": parts})


def of_no_jobs() -> dict[str, Any]:
    """The statistics of a queue without jobs."""
    return {
        "states": {},
        "overdue": 0,
        "oldest_due_at": None,
        "oldest_due_id": None,
        "attempts": {},
        "wait_ms": None,
        "run_ms": None,
    }


def _states(connection: apsw.Connection, queue: str | None) -> Any:
    # Finished jobs are counted in an index that has only these; unfinished jobs are few.
    return connection.execute(
        "SELECT queue, state, sum(count) FROM ("
        " SELECT queue, state, count(*) AS count FROM jobs"
        "  WHERE status IN ('pending', 'held', 'retrying', 'running') GROUP BY queue, state"
        " UNION ALL"
        " SELECT queue, state, count(*) AS count FROM jobs INDEXED BY idx_jobs_finished"
        "  WHERE completed_at IS NOT NULL GROUP BY queue, state"
        ") WHERE ?1 IS NULL OR queue = ?1 GROUP BY queue, state ORDER BY queue, state",
        (queue,),
    )


def _overdue(connection: apsw.Connection, queue: str | None, until: int) -> Any:
    # The id is that of the row with the minimum, by SQLite's rule for columns beside a `min` or `max`.
    return connection.execute(
        "SELECT queue, min(run_at), id, count(*) FROM jobs"
        " WHERE status IN ('pending', 'retrying') AND state <> 'blocked' AND run_at <= ?2"
        " AND (?1 IS NULL OR queue = ?1) GROUP BY queue",
        (queue, until),
    )


def _ended(connection: apsw.Connection, queue: str | None, since: int, until: int) -> Any:
    return connection.execute(
        "SELECT queue, status, count(*) FROM job_history"
        " WHERE completed_at > ?2 AND completed_at <= ?3 AND (?1 IS NULL OR queue = ?1)"
        " GROUP BY queue, status",
        (queue, since, until),
    )


_MEASURES = {"wait_ms": "started_at - due_at", "run_ms": "duration_ms"}


def _percentiles(connection: apsw.Connection, column: str, queue: str | None, since: int, until: int) -> Any:
    # The nearest rank: the smallest value that at least so many per cent of the values do not exceed.
    return connection.execute(
        "WITH sample AS ("
        f" SELECT queue, {_MEASURES[column]} AS value FROM job_history"
        "  WHERE completed_at > ?2 AND completed_at <= ?3 AND (?1 IS NULL OR queue = ?1)"
        "  ORDER BY completed_at DESC LIMIT ?4"
        "), ranked AS ("
        " SELECT queue, value, row_number() OVER (PARTITION BY queue ORDER BY value) AS rank,"
        "  count(*) OVER (PARTITION BY queue) AS total FROM sample WHERE value IS NOT NULL"
        ") SELECT queue, min(value) FILTER (WHERE rank >= total * 0.5),"
        " min(value) FILTER (WHERE rank >= total * 0.95), min(value) FILTER (WHERE rank >= total * 0.99),"
        " max(value) FROM ranked GROUP BY queue",
        (queue, since, until, MAXIMUM_SAMPLED_ATTEMPTS),
    )

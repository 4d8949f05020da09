"""Queries about workers: the known workers, and the jobs that they have now.

Workers do not register. A worker is known if it has a job, had an attempt that ended lately, or asked for
jobs lately. Only the leader remembers who has asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import apsw
import msgspec

from domain.jobs.rows import JobProgress
from domain.jobs.workers import SeenWorker
from domain.messages import Name, about
from projections.reading import page_of
from projections.table import row_json

# The most attempts of a window that are read, the latest, and the most workers of an answer.
MAXIMUM_ATTEMPTS = 10_000
MAXIMUM_WORKERS = 500
# The most queues and types that are listed for a worker, from its latest claims: as many as one claim may
# have.
MAXIMUM_ASKED = 100
# A deadline is set when the attempt begins, and does not change.
_BEGAN_AT = "(jobs.deadline_at - jobs.timeout_ms)"
_RUNNING = (
    "jobs INDEXED BY idx_jobs_status LEFT JOIN job_leases ON job_leases.job_id = jobs.id"
    " WHERE jobs.status = 'running'"
)
_READ_AS = {
    "worker": "jobs.worker",
    "attempt_started_at": _BEGAN_AT,
    "lease_expires_at": "job_leases.expires_at",
}


class RunningJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a worker has. Times are milliseconds since the epoch."""

    worker: str | None
    id: str
    name: str
    type: str
    queue: str
    attempt: int
    max_attempts: int
    attempt_started_at: int | None
    lease_expires_at: Annotated[int | None, about("when the lease ends; null if there is none yet")]
    deadline_at: Annotated[int | None, about("when the attempt times out")]
    cancel_requested: bool
    progress: JobProgress | None


RUNNING_COLUMNS = RunningJob.__struct_fields__


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker, its present jobs, and its ended attempts. Times are milliseconds since the epoch."""

    running: Annotated[int, about("how many jobs the worker has")]
    attempt_started_at: Annotated[int | None, about("when the oldest current attempt began")]
    lease_expires_at: Annotated[int | None, about("when the first of its leases ends")]
    attempts: Annotated[dict[str, int], about("how many attempts ended since `since`, by outcome")]
    last_ended_at: int | None
    first_claim_at: Annotated[int | None, about("the first claim since this service began to lead")]
    last_claim_at: Annotated[int | None, about("the latest claim")]
    host: Annotated[str | None, about("the host, as the worker reports it")]
    version: Annotated[str | None, about("the version of its program, as the worker reports it")]
    asks_for: Annotated[
        dict[str, tuple[str, ...] | None], about("the types by queue; null if the worker takes all types")
    ]


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """The workers. Times are milliseconds since the epoch."""

    since: Annotated[
        int, about("the start of the window; later than asked for if there were too many attempts")
    ]
    until: int
    workers: Annotated[
        dict[str, Worker],
        about(f"by name, {MAXIMUM_WORKERS} at most: of more, those that have jobs are kept"),
    ]


class JobWorkers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The workers: the jobs that each one has now, and its attempts that ended in the last `window_ms`."""

    worker: Name | None = None
    window_ms: Annotated[int, msgspec.Meta(ge=1_000, le=366 * 86_400_000)] = 3_600_000


class RunningJobs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The jobs that workers have now, and when their leases end; the attempt that began first comes first."""

    worker: Name | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: Annotated[str, msgspec.Meta(pattern=r"^\d{1,15}-\d{1,18}$")] | None = None


def workers(
    connection: apsw.Connection,
    query: JobWorkers,
    now: int,
    maximum_bytes: int,
    seen: Sequence[SeenWorker] = (),
) -> bytes:
    """`{"since", "until", "workers": {name: {"running", "attempt_started_at", …}}}`, by name.

    `attempt_started_at` is that of the oldest attempt under way, `lease_expires_at` that of the first lease
    to end. `attempts` counts the attempts that ended since `since`, by their statuses. `since` is later than
    asked for if there were more attempts than are read. Workers in `seen`, which is in the order of their
    last claims, are included if that claim was in the window. If there are too many workers, or they do not
    fit, those with jobs come first, and then those that asked last.
    """
    since = now - query.window_ms
    found: dict[str, dict[str, Any]] = {}
    for name, *jobs in connection.execute(
        f"SELECT jobs.worker, count(*), min({_BEGAN_AT}), min(job_leases.expires_at) FROM {_RUNNING}"
        " GROUP BY jobs.worker"
    ):
        _of(found, name, query).update(
            zip(("running", "attempt_started_at", "lease_expires_at"), jobs, strict=True)
        )
    for one in reversed(seen):
        if one.last_claim_at > since:
            _note(one, _of(found, one.worker, query))
    ended = _ended(connection, since, now)
    if sum(count for _, _, count, _, _ in ended) == MAXIMUM_ATTEMPTS:
        since = min(first for *_, first in ended)
    for name, status, count, last, _ in ended:
        worker = _of(found, name, query)
        worker["attempts"][status] = count
        worker["last_ended_at"] = max(last, worker["last_ended_at"] or last)
    told = {"since": since, "until": now, "workers": dict(sorted(_fitting(found, maximum_bytes)))}
    return msgspec.json.encode(told)


def _fitting(found: Mapping[str, dict[str, Any]], maximum_bytes: int) -> Iterator[tuple[str, msgspec.Raw]]:
    """The first workers that fit into an answer."""
    size_bytes = 0
    for name, worker in found.items():
        asks_for = {
            queue: None if types is None else sorted(types) for queue, types in worker["asks_for"].items()
        }
        encoded = msgspec.json.encode(worker | {"asks_for": asks_for})
        # 2 bytes for a colon and a comma.
        size_bytes += len(msgspec.json.encode(name)) + len(encoded) + 2
        if size_bytes > maximum_bytes:
            return
        yield name, msgspec.Raw(encoded)


def busy_workers(connection: apsw.Connection) -> set[tuple[str, str]]:
    """The workers that have a job, each with the queue of the job."""
    return set(
        connection.execute(
            "SELECT DISTINCT worker, queue FROM jobs INDEXED BY idx_jobs_status WHERE status = 'running'"
        )
    )


def _of(found: dict[str, dict[str, Any]], name: str, query: JobWorkers) -> dict[str, Any]:
    """The entry of a worker, to be filled in; that of one too many, or not asked for, is thrown away."""
    if name in found:
        return found[name]
    worker: dict[str, Any] = {
        "running": 0,
        "attempt_started_at": None,
        "lease_expires_at": None,
        "attempts": {},
        "last_ended_at": None,
        "first_claim_at": None,
        "last_claim_at": None,
        "host": None,
        "version": None,
        "asks_for": {},
    }
    if len(found) < MAXIMUM_WORKERS and query.worker in (None, name):
        found[name] = worker
    return worker


def _note(seen: SeenWorker, worker: dict[str, Any]) -> None:
    """Adds a claim to the entry of a worker. Later claims were added before, and take precedence."""
    first, asks_for = worker["first_claim_at"], worker["asks_for"]
    worker["first_claim_at"] = seen.first_claim_at if first is None else min(first, seen.first_claim_at)
    if first is None:
        worker |= {"last_claim_at": seen.last_claim_at, "host": seen.host, "version": seen.version}
    room = MAXIMUM_ASKED - sum(max(1, len(types or ())) for types in asks_for.values())
    before = asks_for.setdefault(seen.queue, set()) if room > 0 else None
    if before is None:
        return
    if seen.types is None:
        asks_for[seen.queue] = None
    else:
        before.update(sorted(set(seen.types) - before)[:room])


def _ended(connection: apsw.Connection, since: int, until: int) -> list[Any]:
    # The id of an attempt is the position of its claim event, which names the worker even if the job is gone.
    return connection.execute(
        "SELECT events.data ->> '$.worker', ended.status, count(*), max(ended.completed_at),"
        " min(ended.completed_at) FROM ("
        " SELECT id, status, completed_at FROM job_history"
        "  WHERE completed_at > ? AND completed_at <= ? AND id > 0 ORDER BY completed_at DESC LIMIT ?"
        ") AS ended JOIN events ON events.position = ended.id GROUP BY 1, 2",
        (since, until, MAXIMUM_ATTEMPTS),
    ).fetchall()


def running(connection: apsw.Connection, query: RunningJobs, maximum_bytes: int) -> bytes:
    """`{"items": […], "next": cursor or null}`; a lease that does not exist yet is null."""
    where = ""
    bindings: list[Any] = []
    if query.worker is not None:
        where += " AND jobs.worker = ?"
        bindings.append(query.worker)
    if query.after is not None:
        began_at, _, row = query.after.partition("-")
        where += f" AND ({_BEGAN_AT}, jobs.rowid) > (?, ?)"
        bindings += [int(began_at), int(row)]
    columns = ", ".join(_READ_AS.get(column, f"jobs.{column}") for column in RUNNING_COLUMNS)
    rows = connection.execute(
        f"SELECT {_BEGAN_AT}, jobs.rowid, {columns} FROM {_RUNNING}{where} ORDER BY 1, 2 LIMIT ?",
        (*bindings, query.limit + 1),
    )
    found = ((f"{began_at}-{row}", row_json(RunningJob, values)) for began_at, row, *values in rows)
    return page_of(found, query.limit, maximum_bytes)

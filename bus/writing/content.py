"""`Content`: all that one transaction writes, and `write`, the only function that writes it into the file.

The writer writes what it has decided, a follower what the leader has decided: the same rows in every table.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import apsw
import msgspec

from bus.log import chain
from bus.log.answers import Answer, Answers
from bus.writing.aggregates import Aggregates, snapshot_rows
from domain.decider import Lease, Transition
from migrations.rows import delete_rows, insert_rows

_LEASES = "SELECT job_id, token, worker, lease_ms, expires_at FROM job_leases"


class WrittenTables(Protocol):
    """The tables that follow the log."""

    def write(self, connection: apsw.Connection, transitions: Iterable[Transition]) -> None:
        """Brings the tables up to date with a transaction's events."""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a transaction, which extends a log that ended with `before`.

    Each answer comes with the number of events from which it can be told again; 0 if it says more than they
    do. A lease that ended is `None`.
    """

    before: chain.Head
    rows: list[chain.Row] = []
    answers: Sequence[tuple[Answer, int]] = ()
    leases: Mapping[str, Lease | None] = {}

    def __bool__(self) -> bool:
        return bool(self.rows or self.answers or self.leases)


class Replication(Protocol):
    """Stores each transaction in the cluster's log before it is committed. Called in the writer's thread."""

    async def store(self, content: Content) -> None:
        """Returns when the cluster's log has the content: the caller commits it then.

        Raises:
            Unavailable: the log does not have it, or that is unknown. The caller rolls back.
        """

    def not_committed(self) -> None:
        """Notes that the content stored last could not be committed here: the file lacks it."""


def write(
    connection: apsw.Connection,
    projections: WrittenTables,
    aggregates: Aggregates,
    answers: Answers,
    content: Content,
) -> None:
    """Writes the content, as part of the caller's transaction; `aggregates` has applied its events."""
    if content.rows:
        chain.insert(connection, content.rows)
        projections.write(connection, aggregates.journal)
        insert_rows(connection, "INSERT INTO snapshots", snapshot_rows(aggregates.journal))
    answers.remember(content.answers)
    _write_leases(connection, content.leases)


def read_leases(connection: apsw.Connection, job_ids: Collection[str] | None = None) -> list[Lease]:
    """The present leases, as the file has them: of all jobs, or of these."""
    if job_ids is None:
        rows = connection.execute(_LEASES)
    elif job_ids:
        of_jobs = f"{_LEASES} WHERE job_id IN (SELECT value FROM carray(?))"
        rows = connection.execute(of_jobs, (apsw.carray(tuple(job_ids)),))
    else:
        return []
    return [
        Lease(job_id=job_id, token=token, worker=worker, lease_ms=lease_ms, expires_at=expires_at)
        for job_id, token, worker, lease_ms, expires_at in rows
    ]


def are_leases_stored(connection: apsw.Connection, leases: Mapping[str, Lease | None]) -> bool:
    """Whether the file has these leases, and has none where one is `None`."""
    found = {one.job_id: one for one in read_leases(connection, leases.keys())}
    return all(found.get(job_id) == lease for job_id, lease in leases.items())


def _write_leases(connection: apsw.Connection, leases: Mapping[str, Lease | None]) -> None:
    ended = [job_id for job_id, lease in leases.items() if lease is None]
    kept = [
        (lease.job_id, lease.token, lease.worker, lease.lease_ms, lease.expires_at)
        for lease in leases.values()
        if lease is not None
    ]
    delete_rows(connection, "job_leases", "job_id", ended)
    insert_rows(connection, "INSERT OR REPLACE INTO job_leases", kept)

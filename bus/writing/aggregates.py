"""The states of aggregates, as the writer's open transaction sees them.

Everything here follows from the log, and belongs to the writer's thread. Each change is noted in a journal:
when a command or a commit fails, its changes are undone.
"""

from collections.abc import Iterable
from typing import Any

import apsw
import msgspec

from bus.log.states import SHAPES, read_aggregate, read_aggregates
from bus.writing.hot_states import HotStates
from bus.writing.jobs.indexes import JobIndexes
from bus.writing.jobs.seen_workers import SeenWorkers
from domain import jobs, rate_limits, schedules
from domain.catalogue import BY_TABLE
from domain.decider import ABSENT, Aggregate, Lease, Transition
from domain.messages import Recorded, stream_name
from domain.schedules import Schedule

# After how many events of a stream a snapshot is kept. A stream is read from its last snapshot on.
SNAPSHOT_INTERVAL = 100


class Aggregates:
    """A cache of hot states, indexes of jobs and schedules, and the present leases, with a journal.

    `capacity` is how many states stay in memory between transactions, `maximum_bytes` how large they may be
    together. Both are needed: a thousand jobs of 200 kB are few states, but 200 MB.
    """

    def __init__(
        self, connection: apsw.Connection, *, capacity: int = 50_000, maximum_bytes: int = 64 * 1024 * 1024
    ) -> None:
        self._connection = connection
        self._hot = HotStates(capacity, maximum_bytes)
        # Streams that had no events when the open transaction began. One that got some since is in `_hot`.
        self._empty: set[str] = set()
        self._lease_journal: list[tuple[str, Lease | None]] = []
        self.journal: list[Transition] = []
        self.jobs = JobIndexes()
        self.workers = SeenWorkers()
        self.next_runs: dict[str, int] = {}
        self.leases: dict[str, Lease] = {}

    @property
    def hot_count(self) -> int:
        """How many states are in memory."""
        return len(self._hot)

    def get(self, table: str, key: str) -> Aggregate:
        """The aggregate as it is now; `ABSENT` where its stream is empty."""
        stream = stream_name(table, key)
        found = self._hot.get(stream)
        if found is None:
            if stream in self._empty:
                return ABSENT
            found = read_aggregate(self._connection, table, key)
            self._hot.put(stream, found)
        return found

    def look_ahead(self, streams: Iterable[str]) -> None:
        """Finds, in one query, which of these streams are empty: most keys of new commands are new."""
        unknown = tuple(self._hot.missing(streams))
        if unknown:
            found = self._connection.execute(
                "SELECT value FROM carray(?) WHERE NOT EXISTS (SELECT 1 FROM events WHERE stream = value)",
                (apsw.carray(unknown),),
            )
            self._empty = {stream for (stream,) in found}

    def read_ahead(self, table: str, keys: Iterable[str]) -> None:
        """Reads, in one query, those of these aggregates that are not in memory."""
        streams = {stream_name(table, key): key for key in keys}
        unknown = [streams[stream] for stream in self._hot.missing(streams)]
        for key, found in read_aggregates(self._connection, table, unknown).items():
            self._hot.put(stream_name(table, key), found)

    def is_hot(self, table: str, key: str) -> bool:
        """Whether the aggregate is in memory."""
        return stream_name(table, key) in self._hot

    def apply(self, table: str, stream: str, before: Aggregate, recorded: Recorded) -> Aggregate:
        """Evolves `before`, the present aggregate, by an event of the open transaction; keeps the result."""
        state = BY_TABLE[table].evolve(before.state, recorded)
        after = Aggregate(recorded.version, recorded.position, state)
        self.journal.append(Transition(table, recorded.key, before, after, recorded))
        self._replace(table, recorded.key, stream, before.state, after)
        return after

    def set_lease(self, job_id: str, lease: Lease | None) -> None:
        """Grants, extends or ends the lease on a job."""
        self._lease_journal.append((job_id, self.leases.get(job_id)))
        self._put_lease(job_id, lease)

    def changed_leases(self) -> dict[str, Lease | None]:
        """The leases that the open transaction changed, as they are now."""
        return {job_id: self.leases.get(job_id) for job_id, _ in self._lease_journal}

    def mark(self) -> tuple[int, int]:
        """The present ends of the journals, for `undo_to`."""
        return len(self.journal), len(self._lease_journal)

    def undo_all(self) -> None:
        """Takes back the whole transaction."""
        self.undo_to((0, 0))
        self._empty = set()
        self.jobs.settle()

    def undo_to(self, mark: tuple[int, int]) -> None:
        """Takes back everything since `mark` was handed out."""
        transitions, leases = mark
        while len(self._lease_journal) > leases:
            self._put_lease(*self._lease_journal.pop())
        while len(self.journal) > transitions:
            one = self.journal.pop()
            self._replace(one.table, one.key, stream_name(one.table, one.key), one.after.state, one.before)

    def settle(self) -> None:
        """Notes that the transaction is on disk: it is not undone any more, and cold states may go."""
        self.journal.clear()
        self._lease_journal.clear()
        self._empty = set()
        self.jobs.settle()
        self._hot.shrink()

    def _replace(self, table: str, key: str, stream: str, old: Any, new: Aggregate) -> None:
        self._hot.put(stream, new)
        if table == jobs.TABLE:
            self.jobs.replace(old, new.state)
        elif table == schedules.TABLE:
            self._put_next_run(key, new.state)
        elif table == rate_limits.TABLE:
            self.jobs.limit_changed(key, new.state)

    def _put_next_run(self, key: str, schedule: Schedule | None) -> None:
        if schedule is None or schedule.paused or schedule.next_run_at is None:
            self.next_runs.pop(key, None)
        else:
            self.next_runs[key] = schedule.next_run_at

    def _put_lease(self, job_id: str, lease: Lease | None) -> None:
        if lease is None:
            self.leases.pop(job_id, None)
        else:
            self.leases[job_id] = lease


def snapshot_rows(transitions: list[Transition]) -> list[tuple[str, int, int, str, str]]:
    """The states to keep after these events, as rows of `snapshots`."""
    return [
        (
            stream_name(one.table, one.key),
            one.after.version,
            one.after.position,
            SHAPES[one.table],
            msgspec.json.encode(one.after.state).decode(),
        )
        for one in transitions
        if one.after.version % SNAPSHOT_INTERVAL == 0 and one.after.state is not None
    ]

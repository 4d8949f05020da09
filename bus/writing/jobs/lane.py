"""Waiting jobs that are alike: of one type in one queue, with one key and the same gates."""

import heapq
from collections.abc import Mapping
from itertools import count
from typing import Literal, Protocol

import msgspec

# The place of a job in the order of handing out: the negative priority, when it is due, its position.
Place = tuple[int, int, int]
# An entry of a job that is due: its place, a ticket, and the job.
DueEntry = tuple[int, int, int, int, "WaitingJob"]
# What a gate counts: jobs that run, or attempts that began within a window, by key; or calls of a limit.
Counted = tuple[str, str, int]


class Gate(msgspec.Struct, frozen=True, gc=False):
    """A limit that a job has to pass: on `running` jobs or `begins` of a key, or a rate limit of `calls`."""

    kind: Literal["running", "begins", "calls"]
    key: str
    limit: int = 0
    window_ms: int = 0

    @property
    def counted(self) -> Counted:
        """The jobs or calls that the gate counts. Gates with different limits may count the same."""
        return self.kind, self.key, self.window_ms


class WaitingJob(msgspec.Struct, frozen=True, gc=False):
    """The properties of a job that its place in the order depends on.

    `key` is the key whose turn it takes; jobs without one share a turn. `cost` is how many calls of its rate
    limit it makes.
    """

    id: str
    queue: str
    type: str
    priority: int
    run_at: int
    created_position: int
    key: str | None = None
    gates: tuple[Gate, ...] = ()
    cost: int = 1

    def counts_for(self) -> tuple[Counted, ...]:
        """The counts that the job adds to once it runs: of its gates, and of its key, limited or not."""
        counted = tuple(gate.counted for gate in self.gates if gate.kind != "running")
        return counted if self.key is None else (*counted, ("running", self.key, 0))


class Standing(Protocol):
    """A place where lanes stand, in an order of its own."""

    def put(self, lane: "Lane") -> None:
        """Puts the lane here, ordered by its best job."""

    def leave(self, lane: "Lane") -> None:
        """Takes the lane from here."""


class Lane:
    """The due jobs of a lane, best first; `count` is how many of its jobs wait, due or not.

    A job that has left stays in the heap until it comes up: an entry is valid only as long as `by_id`, the
    waiting jobs of all lanes, has that very object. `turns` is the place where the lane stands; the entry
    with its `ticket` is the valid one. `released_by` is the gate that has released it, if one has.
    """

    __slots__ = ("by_id", "count", "due", "gates", "key", "place", "released_by", "ticket", "turns")

    def __init__(self, by_id: Mapping[str, WaitingJob], key: str | None, gates: tuple[Gate, ...]) -> None:
        self.by_id = by_id
        self.key = key
        self.gates = gates
        self.count = 0
        self.due: list[DueEntry] = []
        self.place: Place | None = None
        self.turns: Standing | None = None
        self.ticket = 0
        self.released_by: Gate | None = None

    def push(self, entry: DueEntry) -> None:
        """Adds the entry of a job that is due."""
        heapq.heappush(self.due, entry)

    def remove(self) -> None:
        """One of the jobs has left `by_id`."""
        self.count -= 1
        # Entries of jobs that have left are dropped before they are many, however many jobs are cancelled.
        if len(self.due) > 2 * self.count + 64:
            self.due = [entry for entry in self.due if self.holds(entry[-1])]
            heapq.heapify(self.due)

    def best(self) -> DueEntry | None:
        """The entry of the job to hand out next, if one is due."""
        while self.due and not self.holds(self.due[0][-1]):
            heapq.heappop(self.due)
        return self.due[0] if self.due else None

    def holds(self, job: WaitingJob) -> bool:
        """Whether the job still waits, unchanged."""
        return self.by_id.get(job.id) is job


class ToCome:
    """Waiting jobs that are not due yet, with their lanes; owned by the jobs of one type in one queue."""

    __slots__ = ("_entries", "_ticket")

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, int, WaitingJob, Lane]] = []
        # Two entries may have the same place in the order: if an enqueueing is taken back, the next one gets
        # its position. So each has a number of its own, without which the jobs would be compared.
        self._ticket = count()

    def __len__(self) -> int:
        """How many entries are kept."""
        return len(self._entries)

    def add(self, job: WaitingJob, lane: Lane) -> None:
        """From now on the job waits."""
        heapq.heappush(self._entries, (job.run_at, job.created_position, next(self._ticket), job, lane))

    def tidy(self, waiting: int) -> None:
        """Drops entries of jobs that have left, if they are more than all `waiting` jobs."""
        if len(self._entries) > 2 * waiting + 64:
            self._entries = [entry for entry in self._entries if entry[-1].holds(entry[-2])]
            heapq.heapify(self._entries)

    def due(self, now: int) -> dict[Lane, None]:
        """The lanes that got jobs which are due by now; these jobs are handed to them."""
        lanes: dict[Lane, None] = {}
        while self._entries and self._entries[0][0] <= now:
            run_at, position, ticket, job, lane = heapq.heappop(self._entries)
            if lane.holds(job):
                lane.push((-job.priority, run_at, position, ticket, job))
                lanes[lane] = None
        return lanes

    def first_at(self) -> int | None:
        """When the first of them is due."""
        while self._entries and not self._entries[0][-1].holds(self._entries[0][-2]):
            heapq.heappop(self._entries)
        return self._entries[0][0] if self._entries else None

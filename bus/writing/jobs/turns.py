"""`Turns`: lanes whose keys take turns. `Round`: the turns of the keys of a queue."""

import heapq
from collections.abc import KeysView
from itertools import count
from typing import Protocol

from bus.writing.jobs.lane import Gate, Lane

# Turns that are taken in a search alone are counted from here: they are later than all others.
_IN_SEARCH = 2**62


class Gated(Protocol):
    """Lanes that have to pass gates."""

    def look_at(self, gate: Gate) -> None:
        """Notes that another lane may have the next turn at the gate."""


class Round:
    """The turns of the keys of a queue. Owned by the writer's thread.

    A key that gets its first waiting job goes behind the keys that wait already. A key goes behind all others
    when a job of it is handed out. With one key only, turns are not counted.
    """

    __slots__ = (
        "_before",
        "_compared",
        "_last",
        "_last_searched",
        "_left",
        "_searched",
        "_turns",
        "_waiting",
        "changed",
        "contested",
        "overtaken",
    )

    def __init__(self) -> None:
        self._last = 0
        self._turns: dict[str | None, int] = {}
        self._waiting: dict[str | None, int] = {}
        # Keys without waiting jobs: they keep their place until the transaction has settled.
        self._left: set[str | None] = set()
        # For each job that was handed out in the open transaction: the turn that its key had before, and the
        # last turn of all.
        self._before: list[tuple[str, int, int]] = []
        # Turns that were taken in the search under way, and the entries that stand too late because of them.
        self._searched: dict[str | None, int] = {}
        self._last_searched = _IN_SEARCH
        self.overtaken: list[tuple[Turns, str | None]] = []
        # Keys that have an earlier turn than before.
        self.changed: set[str | None] = set()
        # By key, the gates that have released one of its lanes while other keys wait there. When the key has
        # had a turn, the next turn there may be that of another key.
        self.contested: dict[str | None, dict[tuple[Gated, Gate], None]] = {}
        # The gates where a key has had such a turn in the search under way.
        self._compared: dict[tuple[Gated, Gate], None] = {}

    def __len__(self) -> int:
        """How many keys are kept."""
        return len(self._turns)

    def of(self, key: str | None) -> int:
        """The turn of a key: the lowest comes first."""
        return self._searched.get(key) or self._turns.get(key, 0)

    def add(self, key: str | None) -> None:
        """Notes that another job with the key waits."""
        waiting = self._waiting.get(key, 0)
        self._waiting[key] = waiting + 1
        if not waiting:
            self._turns.setdefault(key, self._last)
            self._left.discard(key)

    def remove(self, key: str | None) -> None:
        """Notes that a job with the key waits no longer."""
        self._waiting[key] -= 1
        if not self._waiting[key]:
            self._left.add(key)

    def take(self, key: str | None, job_id: str) -> None:
        """Notes that a job with the key was handed out."""
        self._before.append((job_id, self._turns.get(key, self._last), self._last))
        if len(self._turns) > 1:
            self._last += 1
            self._turns[key] = self._last
            for lanes, gate in self.contested.get(key, ()):
                lanes.look_at(gate)

    def give_back(self, key: str | None, job_id: str) -> None:
        """Takes back that the job was handed out; what was handed out later has been taken back already."""
        if self._before and self._before[-1][0] == job_id:
            _, self._turns[key], self._last = self._before.pop()
            self.changed.add(key)

    def settle(self) -> bool:
        """Notes that the open transaction is on disk, or was taken back. Whether any key is left."""
        self._before.clear()
        for key in self._left:
            del self._turns[key], self._waiting[key]
        self._left.clear()
        return bool(self._turns)

    def take_in_search(self, key: str | None) -> None:
        """Gives the key a turn that counts in this search alone."""
        if len(self._turns) > 1:
            self._last_searched += 1
            self._searched[key] = self._last_searched
            for lanes, gate in self.contested.get(key, ()):
                lanes.look_at(gate)
                self._compared[lanes, gate] = None

    def is_searched(self, key: str | None) -> bool:
        """Whether the key has had a turn in this search."""
        return key in self._searched

    def end_search(self) -> None:
        """Gives each key the turn again that it had before the search."""
        self._searched.clear()
        self._last_searched = _IN_SEARCH
        for turns, key in self.overtaken:
            turns.place(key)
        self.overtaken.clear()
        for lanes, gate in self._compared:
            lanes.look_at(gate)
        self._compared.clear()


class Turns:
    """The lanes that stand in one place. Keys take turns; of one key, the lane with the best job is first.

    Owned by the jobs of one type in one queue.
    """

    __slots__ = ("_entry", "_lanes", "_order", "_round", "_ticket", "count")

    def __init__(self, of_queue: Round) -> None:
        self._round = of_queue
        self._lanes: dict[str | None, list[tuple[int, int, int, int, Lane]]] = {}
        # The keys by the best job of each: its priority, the turn, when it is due, its position.
        self._order: list[tuple[int, int, int, int, int, str | None]] = []
        # By key, the ticket of its one valid entry in `_order`.
        self._entry: dict[str | None, int] = {}
        self._ticket = count()
        self.count = 0

    def keys(self) -> KeysView[str | None]:
        """The keys that have lanes here, and perhaps some that had."""
        return self._lanes.keys()

    def put(self, lane: Lane) -> None:
        """Puts the lane, which has a due job, here, ordered by its best one."""
        entry = lane.best()
        assert entry is not None, "only lanes with due jobs take turns"
        lane.place, lane.turns, lane.ticket = entry[:3], self, next(self._ticket)
        self.count += 1
        lanes = self._lanes.setdefault(lane.key, [])
        heapq.heappush(lanes, (*lane.place, lane.ticket, lane))
        if lanes[0][-1] is lane:
            self.place(lane.key)
        # Outdated entries are dropped before they are many, however often lanes come and go.
        if len(self._order) > 2 * self.count + 64 or len(lanes) > 2 * self.count + 64:
            self._tidy()

    def leave(self, lane: Lane) -> None:
        """Takes the lane from here."""
        lane.turns = None
        self.count -= 1

    def best(self) -> Lane | None:
        """The lane whose turn it is."""
        while self._order:
            *place, ticket, key = self._order[0]
            if self._entry.get(key) != ticket:
                heapq.heappop(self._order)
                continue
            lane = self._first(key)
            if lane is not None and place == self._place(lane):
                return lane
            # The best lane of the key has left, or the key has had a turn.
            heapq.heappop(self._order)
            self.place(key)
        return None

    def place(self, key: str | None) -> None:
        """Puts a key in its place in the order."""
        lane = self._first(key)
        if lane is not None:
            priority, turn, run_at, position = self._place(lane)
            ticket = self._entry[key] = next(self._ticket)
            heapq.heappush(self._order, (priority, turn, run_at, position, ticket, key))
            if self._round.is_searched(key):
                self._round.overtaken.append((self, key))

    def _place(self, lane: Lane) -> list[int]:
        assert lane.place is not None
        priority, run_at, position = lane.place
        return [priority, self._round.of(lane.key), run_at, position]

    def _first(self, key: str | None) -> Lane | None:
        lanes = self._lanes.get(key)
        while lanes and not self._counts(lanes[0]):
            heapq.heappop(lanes)
        if lanes:
            return lanes[0][-1]
        self._lanes.pop(key, None)
        self._entry.pop(key, None)
        return None

    def _counts(self, entry: tuple[int, int, int, int, Lane]) -> bool:
        lane = entry[-1]
        return lane.turns is self and lane.ticket == entry[-2]

    def _tidy(self) -> None:
        standing = [entry for lanes in self._lanes.values() for entry in lanes if self._counts(entry)]
        self._lanes, self._entry = {}, {}
        for entry in standing:
            heapq.heappush(self._lanes.setdefault(entry[-1].key, []), entry)
        self._order = []
        for key in self._lanes:
            self.place(key)

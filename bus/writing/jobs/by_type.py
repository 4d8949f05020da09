"""The waiting jobs of one type in one queue: lanes that take turns, and lanes held up at a gate."""

import heapq
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Protocol

from bus.writing.jobs.lane import Counted, DueEntry, Gate, Lane, ToCome, WaitingJob
from bus.writing.jobs.turns import Round, Turns


class Permits(Protocol):
    """Says which jobs may be handed out in one claim."""

    def refusal(self, job: WaitingJob) -> tuple[Gate, int | None] | None:
        """The gate that holds the job up, if one does, and until when.

        `None` as the time: until another job of the key ends, or more is known of the calls.
        """

    def took(self, job: WaitingJob, *, is_own: bool) -> None:
        """Counts the job as handed out in this claim, unless the sender may not have it."""

    def counted(self, counted: Counted) -> int:
        """The count without the jobs of this claim: gates with no higher limit stay shut after it.

        0 if some of these gates may open all the same.
        """


class _Stop:
    """The lanes that are held up at a gate. The gate is `open` if they may pass, as far as is known.

    While it is open, the best lane, `released`, stands among the passing ones; the next one follows when that
    one has had its turn. So to open or shut a gate costs the same, however many lanes wait. When the gate
    shuts, or another lane has become the best, the released one stands here again.
    """

    __slots__ = ("held", "open", "released", "ticket", "until")

    def __init__(self, of_queue: Round) -> None:
        self.held = Turns(of_queue)
        self.open = True
        self.released: Lane | None = None
        self.until: int | None = None
        self.ticket = 0


class JobsOfType:
    """The lanes of one type in one queue.

    Each lane with due jobs stands in one place: among the `_passing` ones, or at the gate that holds it up.
    So a lane that is held up costs a claim nothing, and each change of a gate costs a look at one lane.
    """

    __slots__ = (
        "_awaited",
        "_by_id",
        "_lanes",
        "_lanes_by_gate",
        "_passing",
        "_round",
        "_stops",
        "_ticket",
        "_to_look_at",
        "_until",
        "count",
        "to_come",
    )

    def __init__(self, by_id: Mapping[str, WaitingJob], of_queue: Round) -> None:
        self._by_id = by_id
        self._round = of_queue
        self._lanes: dict[tuple[str | None, tuple[Gate, ...]], Lane] = {}
        self._lanes_by_gate: dict[Gate, int] = {}
        self._passing = Turns(of_queue)
        self._stops: dict[Gate, _Stop] = {}
        self._until: list[tuple[int, int, Gate]] = []
        # Gates that are shut for an unknown time: until another job ends, or more is known of calls.
        self._awaited: dict[str, set[Gate]] = {"running": set(), "begins": set(), "calls": set()}
        # In the order of the changes. A set would have another order in each process.
        self._to_look_at: dict[Gate, None] = {}
        self._ticket = count()
        self.to_come = ToCome()
        self.count = 0

    def __len__(self) -> int:
        """How many lanes are kept."""
        return len(self._lanes)

    def add(self, job: WaitingJob) -> None:
        """From now on the job waits."""
        lane = self._lanes.get((job.key, job.gates))
        if lane is None:
            lane = self._lanes[job.key, job.gates] = Lane(self._by_id, job.key, job.gates)
            for gate in job.gates:
                self._lanes_by_gate[gate] = self._lanes_by_gate.get(gate, 0) + 1
        lane.count += 1
        self.count += 1
        self.to_come.add(job, lane)

    def remove(self, job: WaitingJob) -> None:
        """The job has left `by_id`."""
        self.count -= 1
        self.to_come.tidy(self.count)
        lane = self._lanes[job.key, job.gates]
        lane.remove()
        if lane.count:
            # If the lane is held up, the job that left may be the reason.
            if lane.turns is not None and lane.place == (-job.priority, job.run_at, job.created_position):
                self._place(lane)
            return
        self._leave(lane)
        del self._lanes[job.key, job.gates]
        for gate in job.gates:
            self._lanes_by_gate[gate] -= 1
            if not self._lanes_by_gate[gate]:
                del self._lanes_by_gate[gate]
                self._to_look_at.pop(gate, None)

    def has(self, gate: Gate) -> bool:
        """Whether any job has to pass the gate."""
        return gate in self._lanes_by_gate

    def look_at(self, gate: Gate) -> None:
        """Notes that what a gate counts has changed: the next search looks at the gate."""
        if gate in self._stops:
            self._to_look_at[gate] = None

    def best(self, now: int, permits: Permits | None) -> tuple[DueEntry, Lane] | None:
        """The entry of the job to hand out next, with its lane, if one is due and may run."""
        self._look(now)
        while (lane := self._passing.best()) is not None:
            entry = lane.best()
            if entry is None or entry[:3] != lane.place:
                self._place(lane)
                continue
            refusal = permits.refusal(entry[-1]) if lane.gates and permits is not None else None
            if refusal is None:
                return entry, lane
            self._hold(lane, *refusal)
        return None

    def take(self, lane: Lane) -> DueEntry:
        """Takes out the best job of a lane, for the search under way."""
        entry = heapq.heappop(lane.due)
        gate = lane.released_by
        if gate is None or lane.best() is None:
            self._place(lane)
        else:
            # Another lane may have the next turn at the gate.
            self._release(gate, self._stops[gate])
        return entry

    def put_back(self, lane: Lane, entry: DueEntry) -> None:
        """Puts a job back into its lane when the search that took it out is over."""
        lane.push(entry)
        turns = lane.turns
        if turns is None or turns is self._passing:
            self._place(lane)
        else:
            # The lane may be held up only because this job was counted. The next search looks at the gate.
            turns.leave(lane)
            turns.put(lane)

    def take_turns_anew(self) -> None:
        """Puts the keys that have an earlier turn than before in their new places."""
        for gate, stop in self._stops.items():
            for key in self._round.changed & stop.held.keys():
                stop.held.place(key)
                self.look_at(gate)
        for key in self._round.changed & self._passing.keys():
            self._passing.place(key)

    def held_until(self, unforeseen: int) -> int | None:
        """When the first of the lanes that are held up may go on; `None` if that is unknown.

        `unforeseen` is the guess for lanes that wait for calls.
        """
        while self._until and not self._counts(self._until[0]):
            heapq.heappop(self._until)
        moments = [self._until[0][0]] if self._until else []
        if self._awaited["calls"]:
            moments.append(unforeseen)
        return min(moments, default=None)

    @property
    def waits_for_ends(self) -> bool:
        """Whether any job is held up until another one of its key ends."""
        return bool(self._awaited["running"])

    def _look(self, now: int) -> None:
        """Opens the gates that may let lanes pass by now, and places the lanes of jobs that became due."""
        for gate in self._to_look_at:
            self._open(gate)
        self._to_look_at.clear()
        while self._until and self._until[0][0] <= now:
            entry = heapq.heappop(self._until)
            if self._counts(entry):
                self._open(entry[-1])
        # Outdated entries are dropped before they are many, however often a gate changes.
        if len(self._until) > 2 * len(self._stops) + 64:
            self._until = list(filter(self._counts, self._until))
            heapq.heapify(self._until)
        for lane in self.to_come.due(now):
            best = lane.best()
            if best is not None and (lane.turns is None or best[:3] != lane.place):
                self._place(lane)

    def _place(self, lane: Lane) -> None:
        """Puts a lane among the passing ones, if it has a due job."""
        self._leave(lane)
        if lane.best() is not None:
            self._passing.put(lane)

    def _leave(self, lane: Lane) -> None:
        """Takes a lane from its place. If a gate had released it, the gate releases the next one."""
        if lane.turns is None:
            return
        turns = lane.turns
        turns.leave(lane)
        if (gate := self._end_release(lane)) is not None:
            self._release(gate, self._stops[gate])
        elif turns is not self._passing:
            self._forget(lane.gates)

    def _hold(self, lane: Lane, gate: Gate, until: int | None) -> None:
        stop = self._stops.get(gate)
        if stop is None:
            stop = self._stops[gate] = _Stop(self._round)
        if stop.open or stop.until != until:
            stop.open, stop.until, stop.ticket = False, until, next(self._ticket)
            self._awaited[gate.kind].discard(gate)
            if until is None:
                self._awaited[gate.kind].add(gate)
            else:
                heapq.heappush(self._until, (until, stop.ticket, gate))
        # The gate is shut before the lane leaves, so that it releases no other one in its place.
        released_by = self._end_release(lane)
        self._passing.leave(lane)
        stop.held.put(lane)
        self._recall(stop)
        if released_by is not None and released_by != gate:
            self._release(released_by, self._stops[released_by])

    def _open(self, gate: Gate) -> None:
        stop = self._stops.get(gate)
        if stop is None:
            return
        stop.open, stop.until = True, None
        self._awaited[gate.kind].discard(gate)
        self._release(gate, stop)

    def _release(self, gate: Gate, stop: _Stop) -> None:
        """Puts the lane whose turn it is among the passing ones, if the gate is open, and no other lane."""
        self._recall(stop)
        while stop.open and (lane := stop.held.best()) is not None:
            stop.held.leave(lane)
            # The due jobs of a lane may have left while it stood here.
            if lane.best() is not None:
                lane.released_by, stop.released = gate, lane
                self._passing.put(lane)
                others = stop.held.keys()
                if len(others) > (lane.key in others):
                    self._round.contested.setdefault(lane.key, {})[self, gate] = None
                return
        self._forget((gate,))

    def _recall(self, stop: _Stop) -> None:
        """Puts the lane that was released back at the gate."""
        lane = stop.released
        if lane is not None:
            self._end_release(lane)
            self._passing.leave(lane)
            if lane.best() is not None:
                stop.held.put(lane)

    def _end_release(self, lane: Lane) -> Gate | None:
        """The gate that had released the lane, if one had; from now on the lane is not released."""
        gate, lane.released_by = lane.released_by, None
        if gate is not None:
            self._stops[gate].released = None
            contested = self._round.contested.get(lane.key)
            if contested is not None:
                contested.pop((self, gate), None)
                if not contested:
                    del self._round.contested[lane.key]
        return gate

    def _forget(self, gates: Iterable[Gate]) -> None:
        """Drops those of the gates at which no lane waits."""
        for gate in gates:
            stop = self._stops.get(gate)
            if stop is not None and not stop.held.count and stop.released is None:
                del self._stops[gate]
                self._awaited[gate.kind].discard(gate)

    def _counts(self, entry: tuple[int, int, Gate]) -> bool:
        stop = self._stops.get(entry[-1])
        return stop is not None and not stop.open and stop.ticket == entry[-2]

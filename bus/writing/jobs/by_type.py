"""The waiting jobs of one type in one queue: lanes whose turn it is, and lanes held up at a gate."""

import heapq
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Protocol

from bus.writing.jobs.lane import Counted, DueEntry, Gate, Lane, ToCome, WaitingJob
from bus.writing.jobs.turns import Round, Turns


class Permits(Protocol):
    """What may be handed out in one claim."""

    def refusal(self, job: WaitingJob) -> tuple[Gate, int | None] | None:
        """The gate that the job has to wait at, and until when: `None`, until something changes about it."""

    def took(self, job: WaitingJob, *, is_own: bool) -> None:
        """The job is handed out with the next ones, unless it is not the asker's own."""

    def counted(self, counted: Counted) -> int:
        """How many there are without those of this claim: gates with no higher limit stay shut.

        0 where some of them may not.
        """


class _Stop:
    """Lanes that wait at a gate. It is `open` where they may pass, as far as is known.

    Then the best of them, `released`, is among those that are looked at; the next one follows when that one
    has had its turn. So what opens and shuts costs the same however many wait. When it shuts, or another one
    has come to be the best, the released one stands here again.
    """

    __slots__ = ("held", "open", "released", "ticket", "until")

    def __init__(self, of_queue: Round) -> None:
        self.held = Turns(of_queue)
        self.open = True
        self.released: Lane | None = None
        self.until: int | None = None
        self.ticket = 0


class JobsOfType:
    """Each lane with due jobs stands in one place: among the `_passing`, or at the gate that held it up.

    So a lane that is held up costs a claim nothing, and each change of a gate costs one look at one of them.
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
        # Gates that are shut until nobody knows when: until another job ends, or something is heard of calls.
        self._awaited: dict[str, set[Gate]] = {"running": set(), "begins": set(), "calls": set()}
        # In the order of the changes: a set of texts has another one in each process.
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
            # Where it is held up, that may have been for the one that left.
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
        """Something has changed about what it counts."""
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
            # Whose turn it is at the gate now may be another one.
            self._release(gate, self._stops[gate])
        return entry

    def put_back(self, lane: Lane, entry: DueEntry) -> None:
        """The search is over, and did not take the job, after all."""
        lane.push(entry)
        turns = lane.turns
        if turns is None or turns is self._passing:
            self._place(lane)
        else:
            # It is held up on account of the job alone, and its gate is looked at before the next search.
            turns.leave(lane)
            turns.put(lane)

    def take_turns_anew(self) -> None:
        """Puts in their places the keys that have an earlier turn than before."""
        for gate, stop in self._stops.items():
            for key in self._round.changed & stop.held.keys():
                stop.held.place(key)
                self.look_at(gate)
        for key in self._round.changed & self._passing.keys():
            self._passing.place(key)

    def held_until(self, unforeseen: int) -> int | None:
        """When the first of the lanes that are held up may go on; `None` where nobody can tell.

        `unforeseen` is the guess for those that wait for calls.
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
        """Lets go on what may have come to be free, and takes in what is due."""
        for gate in self._to_look_at:
            self._open(gate)
        self._to_look_at.clear()
        while self._until and self._until[0][0] <= now:
            entry = heapq.heappop(self._until)
            if self._counts(entry):
                self._open(entry[-1])
        # Entries that do not count are never more than the others, however often a gate changes.
        if len(self._until) > 2 * len(self._stops) + 64:
            self._until = list(filter(self._counts, self._until))
            heapq.heapify(self._until)
        for lane in self.to_come.due(now):
            best = lane.best()
            if best is not None and (lane.turns is None or best[:3] != lane.place):
                self._place(lane)

    def _place(self, lane: Lane) -> None:
        """Puts a lane among those that are looked at, if it has a due job."""
        self._leave(lane)
        if lane.best() is not None:
            self._passing.put(lane)

    def _leave(self, lane: Lane) -> None:
        """The lane stands nowhere; if it was released by a gate, the next one is."""
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
        # Shut before the lane leaves: no other one is released in its place.
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
        """Lets the lane whose turn it is be looked at, if the gate is open, and no other one."""
        self._recall(stop)
        while stop.open and (lane := stop.held.best()) is not None:
            stop.held.leave(lane)
            # Its jobs may have left without a word.
            if lane.best() is not None:
                lane.released_by, stop.released = gate, lane
                self._passing.put(lane)
                others = stop.held.keys()
                if len(others) > (lane.key in others):
                    self._round.contested.setdefault(lane.key, {})[self, gate] = None
                return
        self._forget((gate,))

    def _recall(self, stop: _Stop) -> None:
        """The lane that was released stands at the gate again."""
        lane = stop.released
        if lane is not None:
            self._end_release(lane)
            self._passing.leave(lane)
            if lane.best() is not None:
                stop.held.put(lane)

    def _end_release(self, lane: Lane) -> Gate | None:
        """The lane is on its way by no gate's word any more; the one that let it go."""
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
        """Drops those gates at which nobody waits."""
        for gate in gates:
            stop = self._stops.get(gate)
            if stop is not None and not stop.held.count and stop.released is None:
                del self._stops[gate]
                self._awaited[gate.kind].discard(gate)

    def _counts(self, entry: tuple[int, int, Gate]) -> bool:
        stop = self._stops.get(entry[-1])
        return stop is not None and not stop.open and stop.ticket == entry[-2]

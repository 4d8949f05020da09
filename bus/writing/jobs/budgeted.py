"""Waiting jobs that draw on rate limits: those of a limit that has no calls left hold nobody else up."""

import heapq
from collections.abc import Mapping
from itertools import count
from typing import Protocol

from bus.writing.jobs.lane import DueEntry, Lane, WaitingJob


class Permits(Protocol):
    """What may be handed out in one claim."""

    def allowed_from(self, job: WaitingJob) -> int | None:
        """From when on a job may run: now, later, or `None`, when something was heard."""

    def took(self, job: WaitingJob, *, is_own: bool) -> None:
        """The job is handed out with the next ones, unless it is not the asker's own."""


class BudgetedLanes:
    """The waiting jobs of one type in one queue that draw on rate limits, a lane for each limit.

    A limit stands in one of three places: `ready`, with the job that is its next, where one is due and may
    run as far as is known; `later`, until its first job is due; or `held`, until there are calls, or until it
    is looked at again since something has changed. So one that is held costs a claim nothing, and each change
    of a limit costs one look at it, however many there are and however many jobs wait for them.
    """

    __slots__ = (
        "_by_id",
        "_held",
        "_lanes",
        "_later",
        "_places",
        "_ready",
        "_ticket",
        "_to_look_at",
        "_unforeseen",
    )

    def __init__(self, by_id: Mapping[str, WaitingJob]) -> None:
        self._by_id = by_id
        self._lanes: dict[str, Lane] = {}
        self._ready: list[tuple[int, int, int, int, str]] = []
        self._later: list[tuple[int, int, str]] = []
        self._held: list[tuple[int, int, str]] = []
        # Those that are held until nobody knows when.
        self._unforeseen: set[str] = set()
        # The ticket of the one entry of a limit that counts, wherever it stands.
        self._places: dict[str, int] = {}
        # In the order of the changes: a set of texts has another one in each process.
        self._to_look_at: dict[str, None] = {}
        self._ticket = count()

    def __len__(self) -> int:
        """On how many limits they draw."""
        return len(self._lanes)

    def add(self, job: WaitingJob, limit: str) -> None:
        """From now on the job waits."""
        lane = self._lanes.get(limit)
        if lane is None:
            lane = self._lanes[limit] = Lane(self._by_id)
        lane.add(job)
        self._to_look_at[limit] = None

    def remove(self, limit: str) -> bool:
        """A job of the limit has left; whether others wait for it still."""
        lane = self._lanes[limit]
        lane.remove()
        if lane.count:
            # Where it was held, that may have been for the one that left.
            self._to_look_at[limit] = None
            return True
        del self._lanes[limit]
        self._places.pop(limit, None)
        self._to_look_at.pop(limit, None)
        self._unforeseen.discard(limit)
        return False

    def look_at(self, limit: str) -> None:
        """Something has changed about it."""
        if limit in self._lanes:
            self._to_look_at[limit] = None

    def best(self, now: int, permits: Permits) -> tuple[DueEntry, Lane] | None:
        """The entry of the job to hand out next, with its lane, if one is due and may run."""
        self._look(now)
        while self._ready:
            *place, ticket, limit = self._ready[0]
            if self._places.get(limit) != ticket:
                heapq.heappop(self._ready)
                continue
            lane = self._lanes[limit]
            entry = lane.best(now)
            if entry is None or list(entry[:3]) != place:
                heapq.heappop(self._ready)
                self._put(limit, now)
                continue
            allowed_from = permits.allowed_from(entry[-1])
            if allowed_from is not None and allowed_from <= now:
                return entry, lane
            heapq.heappop(self._ready)
            self._hold(limit, allowed_from)
        return None

    def held_until(self, unforeseen: int) -> int | None:
        """When the first of those that are held has calls again; `unforeseen` is the guess for the others."""
        while self._held and not self._counts(self._held[0]):
            heapq.heappop(self._held)
        moments = [self._held[0][0]] if self._held else []
        if self._unforeseen:
            moments.append(unforeseen)
        return min(moments, default=None)

    def next_run_at(self) -> int | None:
        """When the first job is due of the limits for whose jobs nobody waits yet."""
        while self._later and not self._counts(self._later[0]):
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def _look(self, now: int) -> None:
        """Puts where they belong all that have changed, and all whose time has come."""
        for limit in self._to_look_at:
            self._put(limit, now)
        self._to_look_at.clear()
        for waiting in (self._later, self._held):
            while waiting and waiting[0][0] <= now:
                entry = heapq.heappop(waiting)
                if self._counts(entry):
                    self._put(entry[-1], now)
        # Entries that do not count are never more than the others, however often a limit changes.
        bound = 2 * len(self._lanes) + 64
        if len(self._ready) > bound:
            self._ready = [one for one in self._ready if self._places.get(one[-1]) == one[-2]]
            heapq.heapify(self._ready)
        if len(self._later) > bound:
            self._later = list(filter(self._counts, self._later))
            heapq.heapify(self._later)
        if len(self._held) > bound:
            self._held = list(filter(self._counts, self._held))
            heapq.heapify(self._held)

    def _put(self, limit: str, now: int) -> None:
        self._unforeseen.discard(limit)
        ticket = self._places[limit] = next(self._ticket)
        lane = self._lanes[limit]
        entry = lane.best(now)
        if entry is not None:
            heapq.heappush(self._ready, (*entry[:3], ticket, limit))
        elif lane.later:
            heapq.heappush(self._later, (lane.later[0][0], ticket, limit))

    def _hold(self, limit: str, until: int | None) -> None:
        ticket = self._places[limit] = next(self._ticket)
        if until is None:
            self._unforeseen.add(limit)
        else:
            heapq.heappush(self._held, (until, ticket, limit))

    def _counts(self, entry: tuple[int, int, str]) -> bool:
        return self._places.get(entry[-1]) == entry[-2]

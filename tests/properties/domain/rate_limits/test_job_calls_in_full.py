"""Twenty workers, some of them killed, beside a platform that counts: no call too many, nearly all used."""

import heapq
import random
from collections.abc import Callable
from itertools import count

import pytest

from domain.jobs.state import FINISHED
from tests.support.clock import MINUTE_MS
from tests.support.domain.indexed_story import IndexedStory
from tests.support.domain.platform import Answered, Platform

CORE = {"platform": "github", "resource": "core"}
WORKERS = 20
LIMIT = 300
JOBS = 700
LEASE_MS = 30_000
# The longest sleep of a worker, even if `retry_after_ms` asks for more.
LONGEST_SLEEP_MS = 30_000


class World:
    """A simulation that carries out what is to happen in order; chance decides how long each step takes."""

    def __init__(self, seed: int, ahead_ms: int) -> None:
        self.chance = random.Random(seed)
        self.story = IndexedStory()
        self.platform = Platform(limit=LIMIT, window_ms=10 * MINUTE_MS, ahead_ms=ahead_ms)
        self.claims = 0
        self._ticket = count()
        self._to_come: list[tuple[int, int, Callable[[], None]]] = []
        for number in range(JOBS):
            self.story.when("jobs.enqueue", id=f"job-{number}", type="sync", budget=CORE)
        for _ in range(WORKERS):
            self.after(self.chance.randrange(1_000), self.claim)

    def after(self, milliseconds: int, happens: Callable[[], None]) -> None:
        heapq.heappush(self._to_come, (self.story.now + milliseconds, next(self._ticket), happens))

    def run(self) -> None:
        """Runs until all jobs have ended."""
        while self._to_come:
            at, _, happens = heapq.heappop(self._to_come)
            self.story.at(max(at, self.story.now))
            happens()

    def unfinished(self) -> list[str]:
        ids = (f"job-{number}" for number in range(JOBS))
        return [one for one in ids if self.story.state("jobs", one).state not in FINISHED]

    def claim(self) -> None:
        """A worker asks for a job; it sleeps as long as it is told, or until the next poll."""
        self.claims += 1
        self.story.when("jobs.claim", worker="w", lease_ms=LEASE_MS)
        for job_id, lease in self.story.decision.leases.items():
            assert lease is not None
            self.after(self.chance.randrange(50, 2_000), self.calling(job_id, lease.token))
            return
        asked = self.story.decision.result(lambda *_: b"{}")
        if self.unfinished():
            self.after(min(asked.get("retry_after_ms", 5_000), LONGEST_SLEEP_MS) + 1, self.claim)

    def calling(self, job_id: str, lease: str) -> Callable[[], None]:
        def call() -> None:
            fate = self.chance.random()
            if fate < 0.01:
                # Killed before its call, and another one is started soon.
                self.after(LEASE_MS, self.rescuing(job_id))
                self.after(5_000, self.claim)
                return
            answered = self.platform.call(self.story.now)
            if fate < 0.02:
                self.after(LEASE_MS, self.rescuing(job_id))
                self.after(5_000, self.claim)
                return
            self.after(self.chance.randrange(5, 3_000), lambda: self.tell(job_id, lease, answered))

        return call

    def tell(self, job_id: str, lease: str, answered: Answered) -> None:
        self.story.when(
            "rate_limits.observe_response", **CORE, status=answered.status, headers=answered.headers
        )
        self.story.when("jobs.complete", id=job_id, lease=lease)
        self.claim()

    def rescuing(self, job_id: str) -> Callable[[], None]:
        def rescue() -> None:
            self.story.when("jobs.rescue", id=job_id)

        return rescue


@pytest.mark.parametrize("ahead_ms", [-90_000, 1_400])
def test_no_call_is_one_too_many_nearly_all_are_used_and_no_job_is_lost(ahead_ms: int):
    world = World(seed=7, ahead_ms=ahead_ms)
    world.run()

    assert world.unfinished() == []
    assert world.platform.refused == 0
    assert len(world.platform.windows) == 2
    assert min(world.platform.windows) >= 0.97 * LIMIT
    # Each job, and a few asked in vain: they sleep until there are calls again.
    assert world.claims < 3 * JOBS

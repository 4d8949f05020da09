"""Ten thousand jobs with five thousand calls an hour: no call too many, nearly all used, despite kills.

Hours pass in a minute: the store, its writer and their file are real; their clock, the twenty workers and
the platform are simulated, step by step. Chance decides how long each step takes, and which workers die.
"""

import heapq
import math
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import HOUR_MS, MINUTE_MS, Clock
from tests.support.domain.platform import Answered, Platform, github, gitlab, of_the_ietf
from tests.support.stores.writing import Sent, Store

CORE = {"platform": "acme", "resource": "core"}
JOBS, LIMIT, WORKERS = 10_000, 5_000, 20
# GitHub's for most calls of its REST API; its headers do not tell of it.
CALLS_A_MINUTE = 900
LEASE_MS = 30_000
# The longest sleep of a worker, even if `retry_after_ms` asks for more.
LONGEST_SLEEP_MS = 30_000
# The chance that a worker is killed before its call, and after its call before it reports the response.
KILLED_BEFORE, KILLED_AFTER = 0.01, 0.01
UPKEEP_MS = 5_000
# How often the service is killed and begins anew.
RESTART_MS = 17 * MINUTE_MS


class World:
    """A simulation that carries out what is to happen, in the order of the times."""

    def __init__(self, path: Path, platform: Platform, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.path = path
        self.store = self._opened()
        self.platform = platform
        self.done = 0
        self.killed = 0
        self._ticket = count()
        self._to_come: list[tuple[int, int, Callable[[], None]]] = []

    def _opened(self) -> Store:
        return Store(self.path, self.clock, next_upkeep=math.inf, synced=False)

    def run(self) -> None:
        """Runs until all jobs are done, or a day has passed."""
        for first in range(0, JOBS, 1_000):
            ids = (f"job-{number}" for number in range(first, first + 1_000))
            self.store.send_batch(
                *(Sent("jobs.enqueue", {"id": one, "type": "t", "budget": CORE}) for one in ids)
            )
        for _ in range(WORKERS):
            self._after(self.chance.randrange(1_000), self._claim)
        self._after(UPKEEP_MS, self._look_after)
        self._after(RESTART_MS, self._restart)
        end = self.clock.now + 24 * HOUR_MS
        while self.done < JOBS and self.clock.now < end:
            at, _, happens = heapq.heappop(self._to_come)
            self.clock.now = max(at, self.clock.now)
            happens()

    def _after(self, milliseconds: int, happens: Callable[[], None]) -> None:
        heapq.heappush(self._to_come, (self.clock.now + milliseconds, next(self._ticket), happens))

    def _look_after(self) -> None:
        """Sends the commands that the service's upkeep would send, above all rescues of jobs."""
        upkeep = self.store.writer._upkeep
        if commands := self.store.in_writer(lambda _: upkeep.commands(self.clock.now)):
            self.store.submit(commands)
        self._after(UPKEEP_MS, self._look_after)

    def _restart(self) -> None:
        self.store.close()
        self.store = self._opened()
        self._after(RESTART_MS, self._restart)

    def _claim(self) -> None:
        claim = self.store.send("jobs.claim", {"worker": "w", "lease_ms": LEASE_MS})["result"]
        if claim["jobs"]:
            [job] = claim["jobs"]
            held = {"id": job["id"], "lease": job["lease"]}
            self._after(self.chance.randrange(20, 500), lambda: self._call(held))
            return
        asked = claim.get("retry_after_ms", UPKEEP_MS) * self.chance.uniform(1.0, 1.25)
        self._after(min(int(asked), LONGEST_SLEEP_MS) + 1, self._claim)

    def _call(self, held: dict[str, str]) -> None:
        fate = self.chance.random()
        if fate < KILLED_BEFORE:
            return self._kill()
        answered = self.platform.call(self.clock.now)
        if fate < KILLED_BEFORE + KILLED_AFTER:
            return self._kill()
        return self._after(self.chance.randrange(5, 700), lambda: self._tell(held, answered))

    def _kill(self) -> None:
        """A worker dies: its lease runs out, and another worker is started in its place."""
        self.killed += 1
        self._after(5_000, self._claim)

    def _tell(self, held: dict[str, str], answered: Answered) -> None:
        body: dict[str, Any] = {**CORE, "status": answered.status, "headers": answered.headers}
        assert self.store.send("rate_limits.observe_response", body).code is None
        if answered.status == 200:
            self.done += self.store.send("jobs.complete", held).code is None
        else:
            retry_at = self.clock.now + 1_000 * int(answered.headers.get("retry-after", "60"))
            self.store.send("jobs.snooze", held | {"run_at": retry_at})
        self._claim()


@pytest.mark.prove
@pytest.mark.parametrize(
    ("dialect", "ahead_ms", "drift_ppm", "calls_a_minute"),
    [
        (github, -90_000, 300, CALLS_A_MINUTE),
        (gitlab, 1_400, 200, None),
        (of_the_ietf, 45_000, -200, None),
    ],
)
def test_of_five_thousand_calls_an_hour_nearly_all_are_made_none_too_many_and_no_job_is_lost(
    tmp_path: Path,
    dialect: Callable[[Platform, int], dict[str, str]],
    ahead_ms: int,
    drift_ppm: int,
    calls_a_minute: int | None,
):
    platform = Platform(
        limit=LIMIT,
        window_ms=HOUR_MS,
        ahead_ms=ahead_ms,
        drift_ppm=drift_ppm,
        calls_a_minute=calls_a_minute,
        dialect=dialect,
    )
    world = World(tmp_path / "hyperpage.db", platform, seed=7)
    world.run()
    states = world.store.in_writer(
        lambda connection: dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
    )
    world.store.close()
    print(
        f"windows {platform.windows}, and {platform.used}; refused {platform.refused};"
        f" slowed {platform.slowed} in {platform.pauses} pauses; killed {world.killed}"
    )

    assert states == {"completed": JOBS}
    assert platform.refused == 0
    # Windows in which jobs still waited at the end.
    assert len(platform.windows) == 2
    assert min(platform.windows) >= 0.97 * LIMIT
    assert world.killed > 100
    # When the platform begins to refuse, it refuses only calls under way, at most one of each worker.
    assert platform.slowed <= platform.pauses * WORKERS
    assert bool(platform.pauses) == (calls_a_minute is not None)

"""Many workers that are killed, stopped and frozen at random while they do many jobs: what the log says.

The laws: every job completes, or has failed for a reason that it tells. A job is claimed again only after the
claim before has ended, and only the newest claim completes it. An attempt counts unless it was given back,
and a worker that SIGTERM stops gives back the jobs that it does not finish.

`make prove ARGS="-k nobody_holds -s"` prints what happened; `SEED=…` chooses the same blows again.
"""

import asyncio
import random
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from bus.broker.users import APP
from bus.client import Client
from domain.jobs.limits import MAXIMUM_RESCUES, RESCUE_DELAY_MS
from hyperpage_client.tasks import cancel
from tests.support.chance import SEED
from tests.support.patience import until
from tests.support.repository import ROOT
from tests.support.services.at_work import enqueue_many
from tests.support.services.serving import broker_of, client_of, serving
from tests.support.stores.looking_inside import log_of

# The longest time from one blow to the next, and from the last one until all jobs are done.
DEADLINE_SECONDS = 100
ENDS_OF_A_CLAIM = {
    "job.completed.v1",
    "job.attempt_failed.v1",
    "job.failed.v1",
    "job.snoozed.v1",
    "job.interrupted.v1",
    "job.rescued.v1",
}
GIVEN_BACK = {"job.snoozed.v1", "job.interrupted.v1"}


class Crew:
    """Worker processes: each that is lost is replaced, so that their number stays the same."""

    def __init__(self, url: str, client: Client, lease_ms: int) -> None:
        self._url = url
        self._client = client
        self._lease_ms = lease_ms
        self._awake: dict[str, Process] = {}
        self._frozen: dict[str, Process] = {}
        self._thawing: list[asyncio.Task[None]] = []
        self._ending: list[Process] = []
        self._hired = 0
        self.blows = Counter[str]()
        # Workers that SIGTERM stopped, and workers that lost their jobs because they were frozen.
        self.stopped: set[str] = set()
        self.were_frozen: set[str] = set()

    async def hire(self, count: int) -> None:
        for _ in range(count):
            self._hired += 1
            name = f"worker-{self._hired}"
            program = [sys.executable, "-m", "tests.support.programs.busy_program"]
            arguments = [self._url, name, str(self._lease_ms)]
            self._awake[name] = await asyncio.create_subprocess_exec(*program, *arguments, cwd=ROOT)

    async def strike(self, blow: str, chance: random.Random) -> None:
        """Kills, stops or freezes one worker."""
        self.blows[blow] += 1
        name = chance.choice(list(self._awake))
        match blow:
            case "kill":
                self._ending.append(self._awake.pop(name))
                self._ending[-1].kill()
                await self.hire(1)
            case "stop":
                self._stop(name)
                await self.hire(1)
            case "freeze":
                self._frozen[name] = self._awake.pop(name)
                self._frozen[name].send_signal(signal.SIGSTOP)
                self.were_frozen.add(name)
                self._thawing.append(asyncio.create_task(self._thaw(name)))

    async def go_home(self) -> list[int]:
        """Stops all workers, and returns the exit codes of all that there ever were."""
        await asyncio.gather(*self._thawing)
        for name in list(self._awake):
            self._stop(name)
        return [await one.wait() for one in self._ending]

    async def kill_all(self) -> None:
        await asyncio.gather(*map(cancel, self._thawing))
        for process in (*self._awake.values(), *self._frozen.values(), *self._ending):
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _stop(self, name: str) -> None:
        process = self._awake.pop(name)
        process.terminate()
        self._ending.append(process)
        self.stopped.add(name)

    async def _thaw(self, name: str) -> None:
        """Lets a frozen worker go on once all its jobs were given to others, of which it does not know."""

        async def has_lost_its_jobs() -> bool:
            return await self._client.count("jobs", worker=name, state="running") == 0

        await until(has_lost_its_jobs, DEADLINE_SECONDS)
        self._awake[name] = self._frozen.pop(name)
        self._awake[name].send_signal(signal.SIGCONT)


@asynccontextmanager
async def crew_of(url: str, client: Client, workers: int, lease_ms: int) -> AsyncIterator[Crew]:
    crew = Crew(url, client, lease_ms)
    try:
        await crew.hire(workers)
        yield crew
    finally:
        await crew.kill_all()


async def ended(client: Client, count: int) -> None:
    """Returns when so many jobs are finished, in one way or another."""

    async def are_ended() -> bool:
        return await client.count("jobs", completed_from=0) >= count

    await until(are_ended, DEADLINE_SECONDS)


class Claim(NamedTuple):
    """A claim of a job, and the type of the event that ended it."""

    job: str
    worker: str
    attempt: int
    end: str


@pytest.mark.parametrize(
    ("workers", "jobs", "blows", "lease_ms", "rescue_delay_ms"),
    [
        # Without the delay of jobs after a rescue, which would be most of the time of this test.
        (3, 100, 6, 4_000, 0),
        pytest.param(16, 5_000, 120, 6_000, RESCUE_DELAY_MS, marks=pytest.mark.prove),
    ],
)
def test_whatever_happens_to_workers_every_job_ends_and_nobody_holds_one_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    jobs: int,
    blows: int,
    lease_ms: int,
    rescue_delay_ms: int,
):
    print(f"seed {SEED}")
    monkeypatch.setattr("domain.jobs.attempts.RESCUE_DELAY_MS", rescue_delay_ms)
    chance = random.Random(SEED)

    async def play() -> tuple[Crew, list[int]]:
        async with serving(tmp_path) as service, client_of(service) as client:
            await enqueue_many(client, jobs)
            async with crew_of(broker_of(service).url_for(APP), client, workers, lease_ms) as crew:
                deck = ["kill", "stop", "freeze"] * (blows // 3)
                chance.shuffle(deck)
                for number, blow in enumerate(deck, 1):
                    await ended(client, jobs * number // (blows + 1))
                    await crew.strike(blow, chance)
                await ended(client, jobs)
                return crew, await crew.go_home()

    crew, exit_codes = asyncio.run(play())
    claims, states = by_the_log(tmp_path)
    kinds = Counter(claim.end for claim in claims)
    print(dict(crew.blows), dict(kinds), dict(Counter(states.values())))

    assert len(states) == jobs
    # A worker that had not begun yet is ended by SIGTERM itself, and has no claims.
    assert set(exit_codes) <= {0, -signal.SIGKILL, -signal.SIGTERM}
    assert exit_codes.count(-signal.SIGKILL) == crew.blows["kill"]
    lost = {claim.worker for claim in claims if claim.end == "job.rescued.v1"}
    assert lost & (crew.stopped - crew.were_frozen) == set()


def by_the_log(folder: Path) -> tuple[list[Claim], dict[str, str]]:
    """Every claim with its end, and what became of each job; asserts the laws on the way."""
    open_claims: dict[str, tuple[str, int]] = {}
    counted = Counter[str]()
    rescues = Counter[str]()
    claims: list[Claim] = []
    states: dict[str, str] = {}
    for row in log_of(folder / "hyperpage.db"):
        job, kind, said = row.stream, row.type, msgspec.json.decode(str(row.data))
        assert job not in states, "nothing happens to a job that has ended"
        if kind == "job.claimed.v1":
            assert job not in open_claims, "the one before has ended"
            assert said["attempt"] == counted[job] + 1
            open_claims[job] = (said["worker"], said["attempt"])
            counted[job] += 1
        elif kind in ENDS_OF_A_CLAIM:
            worker, attempt = open_claims.pop(job)
            claims.append(Claim(job, worker, attempt, kind))
            counted[job] -= kind in GIVEN_BACK or not said.get("costs_attempt", True)
            rescues[job] += kind == "job.rescued.v1"
            if kind == "job.completed.v1":
                assert said["result"] == {"worker": worker, "attempt": attempt}
                states[job] = "completed"
            elif kind == "job.failed.v1":
                lost_too_often = said["error"].startswith("set aside")
                assert rescues[job] == MAXIMUM_RESCUES if lost_too_often else said["error"] == "by chance"
                states[job] = said["error"]
        else:
            assert kind == "job.enqueued.v1"
    assert not open_claims
    return claims, states

"""Many workers claim many jobs of the real service at once, and each job goes to one of them.

The law: claims are decided one after another, in the order of the log. Each takes, of all jobs that are due
and unclaimed at its place in the log, the first by priority, then `run_at`, then position. Whoever asks after
the answer to another claim has a later place than that one. Of claims that are under way together, any may be
the first.
"""

import asyncio
import heapq
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.client import BatchCommand, Client
from domain.errors import Refusal
from migrations.connection import open_reader
from tests.support.services.serving import client_of, serving

CLIENTS = 16
# Long enough that no job is rescued while the test runs, on any machine.
LEASE_MS = 3_600_000
BATCH = 500
SEED = 7


class Claims:
    """The jobs that each client got, with position and lease, in the order of its answers."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.got: list[list[tuple[int, str, str]]] = [[] for _ in range(CLIENTS)]

    @property
    def all(self) -> list[tuple[int, str, str]]:
        return [one for got in self.got for one in got]

    @property
    def count(self) -> int:
        return sum(map(len, self.got))

    async def work(self, number: int, client: Client) -> None:
        """Claims one job after another until all clients together have claimed all jobs."""
        while self.count < self.jobs:
            answer = await client.send("jobs.claim", {"worker": f"w{number}", "lease_ms": LEASE_MS})
            for job in answer.result["jobs"]:
                assert answer.position is not None
                self.got[number].append((answer.position, job["id"], job["lease"]))


async def claim_them_all(folder: Path, jobs: int) -> Claims:
    claims = Claims(jobs)
    async with serving(folder) as service, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(service)) for _ in range(CLIENTS)]
        # Half of them are there before the first claim, the others come meanwhile.
        await enqueue(clients[0], 0, jobs // 2)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(enqueue(clients[0], jobs // 2, jobs))
            for number, client in enumerate(clients):
                tasks.create_task(claims.work(number, client))
        left = await clients[0].send("jobs.claim", {"worker": "late"})
        assert left.result == {"jobs": []}
    return claims


async def enqueue(client: Client, first: int, end: int) -> None:
    chance = random.Random(f"{SEED}-{first}")
    for start in range(first, end, BATCH):
        portion = range(start, min(start + BATCH, end))
        outcomes = await client.send_batch(
            BatchCommand(command="jobs.enqueue", body=job(number, chance)) for number in portion
        )
        assert not [one for one in outcomes if isinstance(one, Refusal)]


def job(number: int, chance: random.Random) -> dict[str, Any]:
    return {"id": f"job-{number}", "type": "t", "name": "n", "priority": chance.randint(1, 4)}


@pytest.mark.parametrize("jobs", [600, pytest.param(20_000, marks=pytest.mark.prove)])
def test_each_job_is_claimed_once_and_the_first_one_first(tmp_path: Path, jobs: int):
    claims = asyncio.run(claim_them_all(tmp_path, jobs))

    ids = [job_id for _, job_id, _ in claims.all]
    assert len(ids) == jobs
    assert len([got for got in claims.got if got]) > 1
    assert set(ids) == {f"job-{number}" for number in range(jobs)}
    assert len({lease for _, _, lease in claims.all}) == jobs
    assert all(got == sorted(got) for got in claims.got)
    assert by_the_log(tmp_path) == {position: job_id for position, job_id, _ in claims.all}


def by_the_log(folder: Path) -> dict[int, str]:
    """The claims by their positions, each of which took the first of the jobs that were there then."""
    waiting: list[tuple[int, int, int, str]] = []
    claimed = {}
    for position, stream, type_name, recorded_at, data in events_in(folder):
        job_id = stream.removeprefix("jobs/")
        if type_name == "job.enqueued.v1":
            said = msgspec.json.decode(data)
            assert said["run_at"] <= recorded_at
            heapq.heappush(waiting, (-said.get("priority", 2), said["run_at"], position, job_id))
        else:
            assert type_name == "job.claimed.v1"
            assert heapq.heappop(waiting)[3] == job_id
            claimed[position] = job_id
    assert not waiting
    return claimed


def events_in(folder: Path) -> list[tuple[Any, ...]]:
    reader = open_reader(folder / "hyperpage.db")
    try:
        return list(
            reader.execute("SELECT position, stream, type, recorded_at, data FROM events ORDER BY position")
        )
    finally:
        reader.close()

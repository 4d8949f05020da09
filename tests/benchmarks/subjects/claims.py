"""Claims of 64 workers while 100,000 jobs wait, beside enqueues by the same client, 64 in flight."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

from bus.client import BatchCommand, connect
from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.driving import in_turns
from tests.benchmarks.core.loads import Load, client_of
from tests.benchmarks.core.rows import Row, over
from tests.benchmarks.drivers.contents import JOB

WAITING, WORKERS = 100_000, 64


async def enqueue(url: str, count: int) -> None:
    """Enqueues so many jobs, as fast as batches go."""
    async with connect(url) as client:
        for _ in range(count // 1_000):
            jobs = [BatchCommand(command="jobs.enqueue", body=JOB) for _ in range(1_000)]
            await client.send_batch(jobs, timeout_seconds=60)


def rows(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        service = stack.enter_context(bench.service())
        asyncio.run(enqueue(service.url, WAITING))
        for client in ("own", "stock"):
            sides = {
                kind: stack.enter_context(client_of(service, Load(client, WORKERS, kind=kind)))
                for kind in ("enqueue", "claim")
            }
            found = in_turns(sides, WORKERS, seconds=bench.seconds, rounds=bench.rounds)
            who = "own client" if client == "own" else "`nc.request`"
            what = f"claims over enqueues, {WAITING:,} waiting, {WORKERS} workers, {who}"
            yield over(what, found["claim"], found["enqueue"], target=0.6)

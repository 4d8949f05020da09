"""Claims of 64 workers while 100,000 jobs wait, beside enqueues by the same client, 64 in flight.

And beside claims of as many jobs that draw on 10,000 rate limits, or have one of 10,000 keys with limits.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from bus.client import BatchCommand, connect
from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.driving import in_turns
from tests.benchmarks.core.loads import Load, client_of
from tests.benchmarks.core.rows import Row, over
from tests.benchmarks.drivers.contents import JOB

WAITING, WORKERS, LIMITS = 100_000, 64, 10_000
# Many jobs of a key may run at once and begin within an hour, since no worker here ends one.
KEYED = {"limit": 5_000}
HOUR_MS = 3_600_000
FAR_AWAY = 4_102_444_800_000


async def enqueue(url: str, count: int, limits: int = 0, keys: int = 0) -> None:
    """Enqueues so many jobs, as fast as batches go, which have in turns one of so many limits, or keys."""
    async with connect(url) as client:
        for start in range(0, count, 1_000):
            numbers = range(start, start + 1_000)
            bodies = [JOB | _limited(number, limits, keys) for number in numbers]
            jobs = [BatchCommand(command="jobs.enqueue", body=body) for body in bodies]
            await client.send_batch(jobs, timeout_seconds=60)
        for start in range(0, limits, 1_000):
            seen = {"remaining": 5_000, "limit": 5_000, "reset_time": FAR_AWAY}
            observed = [
                BatchCommand(command="rate_limits.observe", body=_limit(number) | seen)
                for number in range(start, start + 1_000)
            ]
            await client.send_batch(observed, timeout_seconds=60)


def _limited(number: int, limits: int, keys: int) -> dict[str, Any]:
    """The additional members of a job that has a budget or keys."""
    if keys:
        key = {"key": f"key-{number % keys}"}
        return {"concurrency": key | KEYED, "rate": key | KEYED | {"window_ms": HOUR_MS}}
    return {"budget": _limit(number % limits)} if limits else {}


def _limit(number: int) -> dict[str, Any]:
    return {"platform": "example", "resource": f"limit-{number}"}


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
        for kind, name in (("limits", "rate limits"), ("keys", "keys")):
            limited = stack.enter_context(bench.service(kind))
            asyncio.run(enqueue(limited.url, WAITING, **{kind: LIMITS}))
            sides = {
                side: stack.enter_context(client_of(one, Load("own", WORKERS, kind="claim")))
                for side, one in (("others", service), ("limited", limited))
            }
            found = in_turns(sides, WORKERS, seconds=bench.seconds, rounds=bench.rounds)
            what = f"claims of jobs of {LIMITS:,} {name} over claims of others, {WAITING:,} waiting"
            yield over(what, found["limited"], found["others"], target=0.8)

"""A worker as a process of its own, to be ended by signals.

    python -m tests.support.programs.working_program URL LEASE_MS

Its handlers never return; it prints a line to stdout when one has begun.
"""

import asyncio
import sys

from bus.client import connect
from bus.worker import JobContext, Worker, run_workers


async def waits(job: JobContext) -> None:
    print(job.id, flush=True)
    await asyncio.Event().wait()


def never_looks(job: JobContext) -> None:
    print(job.id, flush=True)
    while True:
        job.stopped_within(60)


async def main(url: str, lease_ms: int) -> None:
    async with connect(url) as client:
        # Two, since a process may well serve two queues.
        await run_workers(
            Worker(client, {"sync": waits}, lease_ms=lease_ms, grace_seconds=0.1),
            Worker(client, {"sync": never_looks}, queue="threads", lease_ms=lease_ms, grace_seconds=0.1),
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

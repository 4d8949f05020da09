"""A worker whose jobs take a while, as a process of its own, to be ended by signals in the middle of them.

    python -m tests.support.programs.busy_program URL NAME LEASE_MS

The outcome of an attempt is random; the result of a completed job names the worker and the attempt.
"""

import asyncio
import random
import sys
from typing import Any

from bus.client import connect
from bus.worker import JobContext, JobFailed, JobSnoozed, Worker, run_workers

LONGEST_SECONDS = 1.5


async def works(job: JobContext) -> dict[str, Any]:
    await asyncio.sleep(random.uniform(0, LONGEST_SECONDS))
    match random.randrange(20):
        case 0:
            raise JobFailed("by chance", retry_at=0)
        case 1:
            raise JobSnoozed(0)
        case _:
            return {"worker": job.row["worker"], "attempt": job.attempt}


async def main(url: str, name: str, lease_ms: int) -> None:
    async with connect(url) as client:
        await run_workers(Worker(client, {"sync": works}, name=name, lease_ms=lease_ms, grace_seconds=0.3))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

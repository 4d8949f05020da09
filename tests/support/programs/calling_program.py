"""Workers whose jobs call a platform over HTTP, as a process of its own, to be killed in the middle of them.

python -m tests.support.programs.calling_program URL PORT WORKERS
"""

import asyncio
import random
import sys

from bus.client import connect
from bus.worker import JobContext, Worker, run_workers

CORE = {"platform": "github", "resource": "core"}
LEASE_MS = 5_000


async def called(port: int) -> tuple[int, dict[str, str]]:
    """The platform's answer to a call: the status, and the headers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: platform\r\nConnection: close\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    writer.close()
    named = (line.partition(": ") for line in head[1:] if line)
    return int(head[0].split()[1]), {name: value for name, _, value in named}


async def main(url: str, port: int, workers: int) -> None:
    async with connect(url) as client:

        async def sync(job: JobContext) -> None:
            await asyncio.sleep(random.uniform(0, 0.5))
            status, headers = await called(port)
            await asyncio.sleep(random.uniform(0, 0.5))
            await client.send("rate_limits.observe_response", CORE | {"status": status, "headers": headers})

        await run_workers(
            *(Worker(client, {"sync": sync}, concurrency=3, lease_ms=LEASE_MS) for _ in range(workers))
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

"""A driver that uses our own client: `… by_our_client URL KIND [--ids …] [--credentials FILE]`.

Beside the kinds of `contents`, it sends `durable` commands, of which each is answered before the next. `ids`
are those of jobs and commands; with `none`, the client makes the command's id itself, as it does for every
caller that gives none.
"""

import argparse
import asyncio
from collections.abc import Callable
from typing import Any

from bus.client import BatchCommand, Client, connect
from tests.benchmarks.drivers.contents import BATCH, JOB, KNOWN_JOBS, batch_of_known_jobs, new_id
from tests.benchmarks.drivers.rounds import Ask, by_tasks, serve

ANSWER_SECONDS = 60.0


def asking(client: Client, kind: str, ids: str) -> Ask:
    """Sends one request of that kind, and waits for its answer."""
    number = 0

    def about() -> dict[str, Any]:
        return {} if ids == "none" else {"command_id": new_id(ids)}

    def job() -> dict[str, Any]:
        return JOB if ids == "none" else {"id": new_id(ids), **JOB}

    async def enqueue() -> None:
        await client.send("jobs.enqueue", job(), timeout_seconds=ANSWER_SECONDS, **about())

    async def durable() -> None:
        await client.send_durable("jobs.enqueue", job(), timeout_seconds=ANSWER_SECONDS, **about())

    async def batch() -> None:
        commands = [BatchCommand(command="jobs.enqueue", body=job(), **about()) for _ in range(BATCH)]
        outcomes = await client.send_batch(commands, timeout_seconds=ANSWER_SECONDS)
        refused = [one for one in outcomes if isinstance(one, Exception)]
        if refused:
            raise refused[0]

    async def claim() -> None:
        nonlocal number
        number += 1
        body = {"worker": f"w{number % 64}", "lease_ms": 3_600_000}
        answer = await client.send("jobs.claim", body, timeout_seconds=ANSWER_SECONDS)
        if not answer.result["jobs"]:
            raise RuntimeError("no job is left to claim")

    async def get() -> None:
        nonlocal number
        number += 1
        await client.get("jobs", id=f"known-{number % KNOWN_JOBS}")

    kinds: dict[str, Callable[[], Any]] = {
        "enqueue": enqueue,
        "durable": durable,
        "batch": batch,
        "claim": claim,
        "get": get,
    }
    return kinds[kind]


async def drive(url: str, kind: str, ids: str, credentials: str | None) -> None:
    async with connect(url, credentials=credentials) as client:
        if kind == "get":
            names = client.names
            await client.connection.ask(
                names.command("batch"), batch_of_known_jobs(), within_seconds=ANSWER_SECONDS
            )
        await serve(by_tasks(asking(client, kind, ids)), weight=BATCH if kind == "batch" else 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("kind")
    parser.add_argument("--ids", choices=["none", "random", "ordered"], default="none")
    parser.add_argument("--credentials")
    options = parser.parse_args()
    asyncio.run(drive(options.url, options.kind, options.ids, options.credentials))


if __name__ == "__main__":
    main()

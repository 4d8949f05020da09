"""The loop that all drivers share: it reads orders, lines of JSON, and keeps requests in flight.

Only the standard library is imported, since drivers run in environments of other products, too.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Ask = Callable[[], Awaitable[Any]]
Run = Callable[[int, float], Awaitable[list[float]]]


async def serve(
    run: Run, *, weight: int = 1, prepare: Callable[[int], Awaitable[None]] | None = None
) -> None:
    """Carries out one order after the other, until there are no more.

    `run` keeps so many requests in flight until that time (of `time.perf_counter`), and gives back how long
    each of them took, in seconds, when all are answered. Each of them is `weight` commands.
    """
    loop = asyncio.get_running_loop()
    say({"ready": True})
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        if prepare is not None:
            await prepare(order["in_flight"])
        began = time.perf_counter()
        try:
            latencies = sorted(await run(order["in_flight"], began + order["seconds"]))
        except Exception as error:
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            say({"refused": f"{type(error).__name__}: {error}"})
            continue
        say(
            {
                "commands": len(latencies) * weight,
                "seconds": time.perf_counter() - began,
                "p50": latencies[len(latencies) // 2] * 1000,
                "p99": latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)] * 1000,
            }
        )


def say(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)


def by_tasks(ask: Ask) -> Run:
    """Each of so many tasks asks, waits for the answer, and asks again: as most programs do."""

    async def run(in_flight: int, until: float) -> list[float]:
        latencies: list[float] = []

        async def keep_asking() -> None:
            while (began := time.perf_counter()) < until:
                await ask()
                latencies.append(time.perf_counter() - began)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(in_flight):
                tasks.create_task(keep_asking())
        return latencies

    return run

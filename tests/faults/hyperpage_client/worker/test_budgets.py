"""Twenty workers in four processes, killed now and then, beside a platform that counts their calls."""

import asyncio
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.broker.users import APP
from tests.support.domain.platform import Platform
from tests.support.patience import until
from tests.support.programs.calling_program import CORE
from tests.support.repository import ROOT
from tests.support.services.at_work import enqueue_many
from tests.support.services.serving import broker_of, client_of, serving

JOBS, LIMIT, WINDOW_MS = 1_000, 300, 40_000
PROCESSES, WORKERS_EACH = 4, 5
KILLS = 6


@asynccontextmanager
async def answering(platform: Platform) -> AsyncIterator[int]:
    """The platform as a server on a port of the loopback."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status, headers = platform.call(time.time_ns() // 1_000_000)
        lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, "content-length: 0", "", ""]).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def begun(url: str, port: int) -> Process:
    arguments = [url, str(port), str(WORKERS_EACH)]
    program = [sys.executable, "-m", "tests.support.programs.calling_program"]
    return await asyncio.create_subprocess_exec(*program, *arguments, cwd=ROOT)


@pytest.mark.prove
@pytest.mark.parametrize("ahead_ms", [-45_000, 45_000])
def test_workers_that_are_killed_make_no_call_too_many_and_nearly_all_that_there_are(
    tmp_path: Path, ahead_ms: int
) -> None:
    platform = Platform(limit=LIMIT, window_ms=WINDOW_MS, ahead_ms=ahead_ms)

    async def play() -> int:
        async with serving(tmp_path) as service, client_of(service) as client, answering(platform) as port:
            await enqueue_many(client, JOBS, budget=CORE, max_attempts=50)
            url = broker_of(service).url_for(APP)
            processes = [await begun(url, port) for _ in range(PROCESSES)]
            try:
                for _ in range(KILLS):
                    await asyncio.sleep(WINDOW_MS / 4_000)
                    killed = processes.pop(0)
                    killed.kill()
                    await killed.wait()
                    processes.append(await begun(url, port))

                async def all_are_done() -> bool:
                    return await client.count("jobs", state="completed") == JOBS

                await until(all_are_done, 10 * WINDOW_MS / 1_000)
                return await client.count("jobs", state="completed")
            finally:
                for one in processes:
                    one.kill()
                    await one.wait()

    assert asyncio.run(play()) == JOBS
    print(f"windows {platform.windows}, and {platform.used}; refused {platform.refused}")
    assert platform.refused == 0
    assert min(platform.windows) >= 0.97 * LIMIT

"""The clock is a year ahead, and set back, while a service runs: leases end and jobs come due as before."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ops.service import steady_clock
from ops.service.composition import Service
from ops.service.steady_clock import HOLD_MS, SteadyClock, ticks_ms, wall_ms
from ops.settings import Settings
from ops.store.data_directory import read_runtime
from tests.support.clock import DAY_MS
from tests.support.patience import until
from tests.support.services.raw_nats import RawNats

YEAR_MS = 365 * DAY_MS


@pytest.mark.parametrize("hold_ms", [HOLD_MS, 0], ids=["not believed", "believed"])
def test_a_lease_ends_and_a_job_comes_due_after_a_jump_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold_ms: int
) -> None:
    monkeypatch.setattr(steady_clock, "HOLD_MS", hold_ms)
    ahead_ms = 0

    async def scenario() -> None:
        nonlocal ahead_ms
        clock = SteadyClock(lambda: wall_ms() + ahead_ms, ticks_ms)
        async with Service(Settings(data=tmp_path, nats_port=0, no_http=True), clock=clock):
            runtime = read_runtime(tmp_path)
            assert runtime is not None
            async with await RawNats.connect(runtime.nats_url) as client:
                ahead_ms = YEAR_MS
                for name in ("before", "meanwhile"):
                    await client.command("jobs.enqueue", {"id": name, "type": "t", "name": name})
                ahead_ms = 0
                claimed = await client.command("jobs.claim", {"worker": "w", "lease_ms": 1_000})
                assert claimed.said["result"]["jobs"][0]["id"] == "before"
                soon = claimed.said["result"]["jobs"][0]["lease_expires_at"] + 500
                await client.command(
                    "jobs.enqueue", {"id": "soon", "type": "later", "name": "soon", "run_at": soon}
                )

                async def row(key: str) -> Any:
                    return (await client.query("jobs.get", {"id": key})).said

                async def is_rescued() -> bool:
                    return bool((await row("before"))["recovery_attempts"] == 1)

                async def is_due() -> bool:
                    answer = await client.command("jobs.claim", {"worker": "w", "types": ["later"]})
                    return bool(answer.said["result"]["jobs"])

                await until(is_rescued)
                await until(is_due)

    asyncio.run(scenario())

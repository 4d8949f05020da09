"""Waiting for a job's end."""

import asyncio
from pathlib import Path

import pytest

from bus.broker.server import NatsServer
from tests.support.services.serving import client_of


def test_without_a_service_a_wait_takes_as_long_as_it_may_and_no_longer(tmp_path: Path):
    async def scenario() -> float:
        clock = asyncio.get_running_loop().time
        async with NatsServer(data=tmp_path, port=0) as server, client_of(server) as client:
            began = clock()
            with pytest.raises(TimeoutError, match=r"has not ended within 0\.5 s"):
                await client.wait_for("one", timeout_seconds=0.5)
            return clock() - began

    # A question without a time of its own takes 5 s.
    assert asyncio.run(scenario()) < 4

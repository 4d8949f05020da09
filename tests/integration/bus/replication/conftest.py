"""What tests of the members of a cluster share."""

import asyncio
from collections.abc import Iterator

import pytest

from bus.broker.server import NatsServer


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One nats-server for all tests of a file, each of which has a loop of its own."""
    server = NatsServer(data=tmp_path_factory.mktemp("broker"), port=0)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        try:
            yield server
        finally:
            runner.run(server.stop())

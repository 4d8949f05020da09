"""Fixtures of all integration tests."""

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.broker.server import NatsServer
from tests.support.clock import Clock
from tests.support.clusters.nats_servers import Cluster
from tests.support.services.asking import HttpTalk
from tests.support.stores.writing import Store


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpTalk]:
    """One service for all tests of a file: each uses keys of its own, and leaves nothing in the others' way.

    Its clock stands still: however slow the tests are, no lease runs out, which would store an event.
    """
    folder = tmp_path_factory.mktemp("shared")
    with HttpTalk(folder, clock=Clock(), http_requests_per_second=0) as talk:
        yield talk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a test's store, whose file need not be there yet."""
    return tmp_path / "hyperpage.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A store with its writer."""
    with Store(path) as store:
        yield store


@pytest.fixture
def unattended(path: Path) -> Iterator[Store]:
    """A store whose writer does nothing of its own accord."""
    with Store(path, next_upkeep=math.inf) as unattended:
        yield unattended


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


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nats-servers that are a cluster, for all tests of a file."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    asyncio.run(cluster.start())
    yield cluster
    asyncio.run(cluster.stop())

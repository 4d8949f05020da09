"""Fixtures of all end-to-end tests."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.services.command_line import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service on a directory of its own, for all tests of a file: they choose keys of their own."""
    folder = tmp_path_factory.mktemp("served") / "data"
    with Served(folder, "--http", "127.0.0.1:0", "--http-open", "--log-format", "json") as service:
        yield service


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    """A client of its HTTP API."""
    with served.http() as client:
        yield client

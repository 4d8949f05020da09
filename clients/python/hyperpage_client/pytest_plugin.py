"""Fixtures for pytest: a real service for the session, and a client for each test.

`hyperpage_service` starts `hyperpage serve` in a folder of its own, within a second, and stops it at the end.
The program is found on the path; `HYPERPAGE` in the environment names another one, such as that of another
virtual environment. All tests of a session share its store: each test should use keys of its own.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from hyperpage_client.testing.service import NoServiceError, OwnService, Service

if TYPE_CHECKING:
    from hyperpage_client.sync import Client

OPTIONS = ("--nats-port", "0", "--http", "127.0.0.1:0")


@pytest.fixture(scope="session")
def hyperpage_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own for the session.

    If there is no program to start, the tests that use it fail, and say what to do.
    """
    with OwnService(tmp_path_factory.mktemp("hyperpage"), OPTIONS) as service:
        try:
            served = service.start()
        except NoServiceError as error:
            pytest.fail(str(error), pytrace=False)
        yield served


@pytest.fixture
def hyperpage_client(hyperpage_service: Service) -> "Iterator[Client]":
    """A client without an event loop; a test with one connects to `hyperpage_service.url`."""
    # Imported here: sessions without a client do not load it.
    from hyperpage_client.sync import connect

    with connect(hyperpage_service.url) as client:
        yield client

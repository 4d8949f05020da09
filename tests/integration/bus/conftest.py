"""Fixtures of the integration tests of the bus."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.services.talking import Talk
from tests.support.services.users_at_work import UsersAtWork, own_users


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Talk]:
    """A service of the test's own, whose clock stands still."""
    with Talk(tmp_path, clock=Clock()) as talk:
        yield talk


@pytest.fixture(scope="module")
def lasting_bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UsersAtWork]:
    """One nats-server for all tests of a file."""
    bus = UsersAtWork(tmp_path_factory.mktemp("data"), own_users())
    bus.run(bus.open())
    yield bus
    bus.run(bus.close())
    bus.runner.close()


@pytest.fixture
def bus(lasting_bus: UsersAtWork) -> UsersAtWork:
    """The same, with nothing noted of earlier tests."""
    lasting_bus.forget()
    return lasting_bus

"""What every end-to-end test may ask for."""

from collections.abc import Iterator

import pytest

from tests.support.services.command_line import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service on a directory of its own, for all tests of a file: they choose keys of their own."""
    with Served(tmp_path_factory.mktemp("served") / "data") as service:
        yield service

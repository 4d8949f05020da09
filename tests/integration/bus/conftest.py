"""What integration tests of the bus share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.services.talking import Talk


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Talk]:
    """A service of the test's own, whose clock stands still."""
    with Talk(tmp_path, clock=Clock()) as talk:
        yield talk

"""What integration tests share."""

from collections.abc import Iterator

import pytest

from tests.support.services.asking import HttpTalk
from tests.support.services.talking import Clock


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpTalk]:
    """One service for all tests of a file: each uses keys of its own, and leaves nothing in the others' way.

    Its clock stands still: however slow the tests are, no lease runs out, which would store an event.
    """
    folder = tmp_path_factory.mktemp("shared")
    with HttpTalk(folder, clock=Clock(), http_requests_per_second=0) as talk:
        yield talk

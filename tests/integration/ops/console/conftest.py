"""What the tests of the console share."""

import pytest

from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import Visitor


@pytest.fixture
def operator(talk: HttpTalk) -> Visitor:
    """Somebody who may do everything but administer."""
    return Visitor(talk, "operate")

"""Fixtures of the tests of the console."""

import pytest

from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import Visitor


@pytest.fixture
def operator(talk: HttpTalk) -> Visitor:
    """A user who may do everything but administer."""
    return Visitor(talk, "operate")

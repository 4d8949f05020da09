"""Fixtures of the scenarios of other job systems: a store for all tests of a file, a queue for each test."""

import math
from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.jobs.one_queue import OneQueue
from tests.support.stores.writing import Store

_numbers = count(1)


@pytest.fixture(scope="module")
def store_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose clock only goes forward, and whose writer does nothing of its own accord."""
    path = tmp_path_factory.mktemp("peers") / "hyperpage.db"
    with Store(path, next_upkeep=math.inf, synced=False) as store:
        yield store


@pytest.fixture
def queue(store_of_all: Store) -> OneQueue:
    """A queue that only this test uses."""
    return OneQueue(store_of_all, f"q{next(_numbers)}")

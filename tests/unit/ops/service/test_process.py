import gc
import weakref
from collections.abc import Iterator

import pytest

from ops.service.process import leave_alone_what_is_there


class Service:
    """Held by nothing but itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_the_collector_leaves_alone_what_is_there_when_the_service_serves():
    service = weakref.ref(Service())
    leave_alone_what_is_there()

    assert service() is None
    # No generation has it any more.
    assert gc.get_freeze_count() > len(gc.get_objects())


def test_what_went_with_a_service_is_collected_when_the_next_one_serves():
    kept = Service()
    service = weakref.ref(kept)
    leave_alone_what_is_there()
    del kept
    gc.collect()
    assert service() is not None

    leave_alone_what_is_there()
    assert service() is None

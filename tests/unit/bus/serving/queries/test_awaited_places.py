"""Queries wait until the log is at a place, for a time, and not more of them than there is room for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bus.serving.queries import awaited_places
from bus.serving.queries.awaited_places import AwaitedPlaces
from domain.errors import Behind, Busy, Unavailable
from hyperpage_client.contract.log_place import ANY_TIMELINE, LogPlace
from tests.support.patience import until


class Log:
    """A log's place, and the queries that wait for a later one."""

    def __init__(self, *, leads: bool = True) -> None:
        self.place = LogPlace(1, 10)
        self.awaited = AwaitedPlaces(lambda: self.place, lambda: leads)

    async def waiting(self, *places: LogPlace) -> list[asyncio.Task[None]]:
        """Those that wait for places, once all of them do."""
        tasks = [asyncio.create_task(self.awaited.reach(one)) for one in places]
        await until(lambda: self.awaited.waiting == len(tasks))
        return tasks


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 0.01)


@pytest.fixture
def all_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 600)


@pytest.mark.usefixtures("all_time")
def test_each_waits_until_the_log_is_at_its_place():
    async def scenario() -> None:
        log = Log()
        first, later, any_timeline = await log.waiting(
            LogPlace(1, 11), LogPlace(1, 13), LogPlace(ANY_TIMELINE, 12)
        )
        for place, done in ((LogPlace(1, 11), [first]), (LogPlace(1, 12), [any_timeline])):
            log.place = place
            await asyncio.gather(*done)
        assert log.awaited.waiting == 1
        assert not later.done()
        # A restore has taken away what it waits for: it is not to wait for ever.
        log.place = LogPlace(2, 5)
        await later
        assert log.awaited.waiting == 0

    run(scenario)


@pytest.mark.usefixtures("all_time")
def test_what_the_log_has_is_not_waited_for():
    async def scenario() -> None:
        await Log().awaited.reach(LogPlace(1, 10))

    run(scenario)


@pytest.mark.usefixtures("no_time")
@pytest.mark.parametrize("leads", [True, False])
def test_a_log_that_does_not_come_there_in_time_says_where_it_is(leads: bool):
    async def scenario() -> None:
        log = Log(leads=leads)
        with pytest.raises(Behind) as behind:
            await log.awaited.reach(LogPlace(1, 11))
        assert behind.value.details == {"timeline": 1, "position": 10, "leads": leads}
        assert log.awaited.waiting == 0

    run(scenario)


@pytest.mark.usefixtures("all_time")
def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        monkeypatch.setattr(awaited_places, "MAXIMUM_WAITING", 2)
        log = Log()
        first, second = await log.waiting(LogPlace(1, 11), LogPlace(1, 11))
        with pytest.raises(Busy):
            await log.awaited.reach(LogPlace(1, 11))
        # One that gives up makes room.
        first.cancel()
        await until(lambda: log.awaited.waiting == 1)
        third = asyncio.create_task(log.awaited.reach(LogPlace(1, 11)))
        await until(lambda: log.awaited.waiting == 2)
        log.place = LogPlace(1, 11)
        await asyncio.gather(second, third)

    run(scenario)


@pytest.mark.usefixtures("all_time")
def test_who_waits_when_the_service_ends_is_told():
    async def scenario() -> None:
        log = Log()
        [waits] = await log.waiting(LogPlace(1, 11))
        log.awaited.close()
        for one in (waits, log.awaited.reach(LogPlace(1, 11))):
            with pytest.raises(Unavailable):
                await one

    run(scenario)

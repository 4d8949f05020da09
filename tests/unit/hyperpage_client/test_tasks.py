import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from hyperpage_client.tasks import Tasks, cancel, finished_within, to_its_end

SECONDS = 20


async def deaf_once(started: asyncio.Event) -> None:
    """Loses one cancellation, as `wait_for` does when the answer comes with it."""
    started.set()
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


async def cancel_alone(started: asyncio.Event) -> None:
    task = asyncio.create_task(deaf_once(started))
    await started.wait()
    await cancel(task)
    assert task.cancelled()


async def cancel_among_others(started: asyncio.Event) -> None:
    tasks = Tasks()
    tasks.start(deaf_once(started))
    await started.wait()
    await tasks.cancel()
    assert len(tasks) == 0


async def give_up_in_time(started: asyncio.Event) -> None:
    with pytest.raises(TimeoutError):
        await finished_within(0.01, deaf_once(started))
    assert started.is_set()


@pytest.mark.parametrize("end", [cancel_alone, cancel_among_others, give_up_in_time])
def test_a_task_that_lost_its_cancellation_is_cancelled_again(end: Callable[[asyncio.Event], Any]):
    async def scenario() -> None:
        async with asyncio.timeout(SECONDS):
            await end(asyncio.Event())

    asyncio.run(scenario())


def test_what_finishes_in_time_gives_back_or_raises_what_it_did():
    async def answer() -> int:
        return 7

    async def fail() -> None:
        raise ZeroDivisionError

    assert asyncio.run(finished_within(SECONDS, answer())) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(finished_within(SECONDS, fail()))


def test_what_a_task_ended_with_is_nobodys_trouble_once_it_is_cancelled():
    async def fail() -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        task = asyncio.create_task(fail())
        await asyncio.wait({task})
        await cancel(task)

    asyncio.run(scenario())


def test_who_waits_for_a_cancelled_task_can_be_cancelled():
    async def deaf(started: asyncio.Event, until: asyncio.Event) -> None:
        started.set()
        while not until.is_set():
            with suppress(asyncio.CancelledError):
                await until.wait()

    async def scenario() -> None:
        started, until = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(deaf(started, until))
        await started.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await cancel(task)
        until.set()
        await cancel(task)

    asyncio.run(scenario())


def test_who_is_cancelled_waits_until_a_thread_is_through():
    async def play() -> bool:
        begun, go_on, is_through = threading.Event(), threading.Event(), False

        def work() -> None:
            nonlocal is_through
            begun.set()
            is_through = go_on.wait(SECONDS)

        task = asyncio.create_task(to_its_end(work))
        await asyncio.to_thread(begun.wait, SECONDS)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return is_through

    assert asyncio.run(play())

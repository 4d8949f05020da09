import asyncio
import threading
import time

import pytest

from bus.writing.loop_thread import LoopThread
from tests.support.patience import wait_for

SECONDS = 20


async def rest_until(thread: LoopThread, ended: threading.Event) -> None:
    while not ended.is_set():
        await thread.rest(SECONDS)


def ended(thread: LoopThread, end: threading.Event) -> bool:
    end.set()
    thread.wake()
    thread.join()
    return not thread.is_alive


def test_its_loop_carries_out_what_others_have_for_it():
    thread, end = LoopThread("working"), threading.Event()
    thread.start(rest_until(thread, end))

    async def whose() -> str:
        return threading.current_thread().name

    async def broken() -> None:
        raise LookupError("on purpose")

    assert asyncio.run(thread.run(whose())) == "working"
    with pytest.raises(LookupError, match="on purpose"):
        asyncio.run(thread.run(broken()))
    assert ended(thread, end)


def test_a_rest_ends_when_it_is_woken_by_another_thread_or_by_its_own():
    thread, end = LoopThread("resting"), threading.Event()
    began = time.monotonic()
    thread.start(rest_until(thread, end))

    def wake_itself() -> None:
        end.set()
        thread.wake()

    thread.wake()
    thread.call_soon(wake_itself)
    thread.join()
    assert time.monotonic() - began < SECONDS


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fails", [False, True])
def test_what_lives_in_its_loop_ends_with_its_work(fails: bool):
    thread, end = LoopThread("ending"), threading.Event()
    closed_in = []

    async def close() -> None:
        closed_in.append(threading.current_thread().name)

    async def begin() -> None:
        thread.ending.push_async_callback(close)

    async def work() -> None:
        await rest_until(thread, end)
        if fails:
            raise LookupError("on purpose")

    thread.start(work())
    asyncio.run(thread.run(begin()))
    assert ended(thread, end)
    assert closed_in == ["ending"]


def test_one_that_has_ended_carries_out_nothing_more():
    thread, end = LoopThread("ended"), threading.Event()
    called: list[bool] = []

    async def call() -> None:
        called.append(True)

    thread.start(rest_until(thread, end))
    assert ended(thread, end)
    thread.call_soon(called.append, True)
    thread.wake()
    with pytest.raises(RuntimeError):
        asyncio.run(thread.run(call()))
    assert called == []


def test_work_that_comes_after_its_last_turn_is_refused(monkeypatch: pytest.MonkeyPatch):
    thread, end, has_come = LoopThread("ending"), threading.Event(), threading.Event()
    thread.start(rest_until(thread, end))
    loop = asyncio.run(thread.run(loop_of_caller()))
    close = loop.close
    refused: list[str] = []

    async def come_late() -> None:
        late = asyncio.ensure_future(thread.run(loop_of_caller()))
        await asyncio.sleep(0)  # as far as its waiting
        has_come.set()
        with pytest.raises(RuntimeError, match="the thread has ended"):
            await late
        refused.append("late")

    def close_after_it() -> None:
        late.start()
        assert has_come.wait(SECONDS)
        close()

    late = threading.Thread(target=lambda: asyncio.run(come_late()), daemon=True)
    monkeypatch.setattr(loop, "close", close_after_it)
    assert ended(thread, end)
    late.join(SECONDS)
    assert refused == ["late"]


async def loop_of_caller() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_a_loop_that_stands_still_owes_a_sign():
    thread, end, go_on = LoopThread("standing"), threading.Event(), threading.Event()
    thread.start(rest_until(thread, end))
    try:
        thread.call_soon(go_on.wait, SECONDS)
        wait_for(lambda: thread.silent_seconds > 0.1)
        go_on.set()
        wait_for(lambda: thread.silent_seconds < 0.1)
    finally:
        go_on.set()
        assert ended(thread, end)


def test_others_have_a_turn_and_more_while_it_is_so_but_not_for_ever():
    thread = LoopThread("working")
    turns: list[int] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(turns.append, 1)
        await thread.give_turns(0, while_true=lambda: True)
        assert len(turns) == 1

        def is_more_to_do() -> bool:
            if len(turns) < 5:
                loop.call_soon(turns.append, 1)
            return len(turns) < 5

        await thread.give_turns(SECONDS, while_true=is_more_to_do)

    thread.start(work())
    thread.join()
    assert len(turns) == 5

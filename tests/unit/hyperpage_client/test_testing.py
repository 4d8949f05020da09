"""The queue in memory that tests of other programs enqueue in."""

import asyncio

import pytest

from hyperpage_client import App, JobNotCompletedError, current_job
from hyperpage_client.commands.jobs import Enqueue, RetryPolicy
from hyperpage_client.errors import Invalid
from hyperpage_client.testing import MemoryQueue, memory, memory_queue
from hyperpage_client.worker import JobFailed, JobSnoozed


def test_jobs_are_run_when_they_are_due_and_enqueue_others():
    app = App("nats://nowhere.invalid")

    @app.job
    async def first(number: int) -> int:
        await second.enqueue(number=number + 1)
        return number

    @app.job
    def second(number: int) -> str:
        return f"{number}, attempt {current_job().attempt}"

    async def scenario():
        with memory_queue(app) as queue:
            now = await first.enqueue(1)
            later = await second.configure(delay=60).enqueue(7)
            assert await queue.drain() == 2
            assert [job.type for job in queue.jobs] == ["first", "second", "second"]
            with pytest.raises(TimeoutError, match="move the clock on"):
                await later.result()
            queue.clock.advance(60)
            return await now.result(), await later.result()

    assert asyncio.run(scenario()) == (1, "7, attempt 1")


def test_what_fails_is_tried_again_by_the_delays_that_its_job_chooses():
    app = App("nats://nowhere.invalid")

    @app.job(retry=RetryPolicy(delays_ms=[0, 5_000]))
    async def fail() -> None:
        raise ValueError("no")

    async def scenario():
        await fail.enqueue()
        slow = RetryPolicy(base_ms=2_000, factor=3, cap_ms=5_000)
        await fail.configure(retry=slow).enqueue()
        began = queue.clock.now().timestamp() * 1000
        await queue.drain()
        assert [(job.attempt, round(job.due_at - began)) for job in queue.jobs] == [(2, 5_000), (1, 2_000)]
        queue.clock.advance(2)
        await queue.drain()
        assert [(job.attempt, round(job.due_at - began)) for job in queue.jobs] == [(2, 5_000), (2, 7_000)]

    with memory_queue(app) as queue:
        asyncio.run(scenario())


def test_what_fails_is_tried_again_by_the_clock_until_it_has_no_attempt_left():
    app = App("nats://nowhere.invalid")

    @app.job(retries=1)
    async def fail() -> None:
        raise ValueError("no")

    @app.job
    async def never() -> None:
        raise JobFailed("for good", retryable=False)

    @app.job
    async def snooze() -> int:
        if queue.clock.now().timestamp() < 100_000:
            raise JobSnoozed(100_000_000)
        return current_job().attempt

    async def scenario():
        one, other, snoozed = await fail.enqueue(), await never.enqueue(), await snooze.enqueue()
        assert await queue.drain() == 3
        assert [job.state for job in queue.jobs] == ["pending", "failed", "pending"]
        queue.clock.advance(100_000)
        assert await snoozed.result() == 1
        with pytest.raises(JobNotCompletedError, match="ValueError: no"):
            await one.result()
        with pytest.raises(JobNotCompletedError, match="for good"):
            await other.result()
        assert isinstance(queue.jobs[0].exception, ValueError)

    with memory_queue(app) as queue:
        queue.clock.advance(-queue.clock.now().timestamp())
        asyncio.run(scenario())


def test_a_job_that_no_service_would_take_is_refused_where_it_is_enqueued():
    app = App("nats://nowhere.invalid")

    @app.job(retry=RetryPolicy(base_ms=2, cap_ms=1))
    async def greet() -> None: ...

    async def scenario():
        with pytest.raises(Invalid, match="cap_ms is at least base_ms"):
            await greet.enqueue()
        with pytest.raises(Invalid, match=r"at `\$\.priority`"):
            await greet.configure(retry=RetryPolicy(), priority=5).enqueue()

    with memory_queue(app) as queue:
        asyncio.run(scenario())
    assert queue.jobs == []


def test_a_job_of_a_type_that_the_app_does_not_have_is_left_to_other_workers():
    app = App("nats://nowhere.invalid")

    @app.job
    async def ours() -> int:
        return 1

    async def scenario():
        await app.sink.send(Enqueue(type="theirs", id="theirs"))
        assert await (await ours.enqueue()).result() == 1
        with pytest.raises(TimeoutError, match="the app has no job theirs"):
            await queue.wait_for("theirs")

    with memory_queue(app) as queue:
        asyncio.run(scenario())
    assert [(job.state, job.attempt) for job in queue.jobs] == [("pending", 0), ("completed", 1)]


def test_inline_a_job_has_run_when_it_is_enqueued_and_a_circle_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "MOST_ATTEMPTS", 100)
    app = App("nats://nowhere.invalid")
    ran: list[int] = []

    @app.job
    async def note(number: int) -> None:
        ran.append(number)

    @app.job
    async def again() -> None:
        await again.enqueue()

    async def scenario():
        with memory_queue(app, inline=True):
            await note.enqueue(1)
            assert ran == [1]
            for _ in range(2):
                await note.configure(command_id="once").enqueue(2)
            assert ran == [1, 2]
        with memory_queue(app) as queue:
            await again.enqueue()
            with pytest.raises(RuntimeError, match="for ever: again"):
                await queue.drain()

    asyncio.run(scenario())
    assert app.now().year > 2000


def test_inline_a_job_that_enqueues_another_runs_once_and_is_the_current_one_again():
    app = App("nats://nowhere.invalid")
    ran: list[str] = []

    @app.job
    async def outer() -> None:
        ran.append(current_job().type)
        job = await inner.enqueue({1: "a"})
        assert await job.result() == {1: "a"}
        ran.append(current_job().type)

    @app.job
    def inner(names: dict[int, str]) -> dict[int, str]:
        ran.append(current_job().type)
        return names

    async def scenario():
        with memory_queue(app, inline=True):
            await outer.enqueue()
            with pytest.raises(LookupError):
                current_job()

    asyncio.run(scenario())
    assert ran == ["outer", "inner", "outer"]


def test_jobs_are_enqueued_and_waited_for_without_an_event_loop_and_within_one():
    app = App("nats://nowhere.invalid")

    @app.job
    def double(number: int) -> int:
        return 2 * number

    @app.job
    def fail() -> None:
        double.enqueue_sync(1).result()
        raise ValueError("no")

    def enqueue() -> int:
        return double.enqueue_sync(4).result()

    async def within() -> int:
        return enqueue()

    with memory_queue(app) as queue:
        assert (enqueue(), asyncio.run(within())) == (8, 8)
        failing = fail.configure(delay=1).enqueue_sync()
        queue.clock.advance(300)
        with pytest.raises(TimeoutError, match="is not due"):
            failing.result()
        assert [job.type for job in queue.jobs] == ["double", "double", "fail", "double"]


def test_blocks_that_overlap_each_take_out_their_own():
    app = App("nats://nowhere.invalid")
    first, second = MemoryQueue(app), MemoryQueue(app)
    one, other = app.enqueued_in(first), app.enqueued_in(second)
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert app.sink is second
    other.__exit__(None, None, None)
    with pytest.raises(RuntimeError, match="not open"):
        _ = app.sink

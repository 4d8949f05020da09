"""Functions as jobs: enqueued with arguments, run by a worker of a real service, their results waited for."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from bus.broker.users import APP
from hyperpage_client import App, JobNotCompletedError, current_job
from hyperpage_client.client import Client
from hyperpage_client.worker import Worker
from tests.support.services.serving import broker_of, serving


class Page(msgspec.Struct):
    url: str
    seen: date


@asynccontextmanager
async def app_at_work(folder: Path) -> AsyncIterator[tuple[App, Client]]:
    """An app that is open, on a service of its own."""
    async with serving(folder) as service:
        app = App(broker_of(service).url_for(APP))
        async with app.open() as client:
            yield app, client


@asynccontextmanager
async def working(app: App, client: Client) -> AsyncIterator[None]:
    """A worker for the jobs that the app has by now."""
    worker = Worker(client, {name: job.handler for name, job in app.jobs.items()}, grace_seconds=0)
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await running


def test_a_function_is_enqueued_with_its_arguments_and_its_result_comes_back(tmp_path: Path):
    async def scenario():
        async with app_at_work(tmp_path) as (app, client):

            @app.job(retries=2, timeout=60)
            async def look(page: Page, depth: int = 1) -> dict[str, int]:
                assert page.seen == date(2026, 11, 29)
                current_job().progress(50, "half of it")
                return {page.url: depth}

            @app.job
            def in_a_thread(name: str) -> tuple[str, bool]:
                return name, threading.current_thread() is threading.main_thread()

            async with working(app, client):
                first = await look.enqueue(Page("https://example.com", date(2026, 11, 29)), depth=3)
                second = await in_a_thread.enqueue(name="a")
                row = await client.get("jobs", id=first.id)
                return row, await first.result(timeout_seconds=30), await second.result(timeout_seconds=30)

    row, first, second = asyncio.run(scenario())

    assert (row["type"], row["name"], row["max_attempts"], row["timeout_ms"]) == ("look", "look", 3, 60_000)
    assert row["payload"] == {"page": {"url": "https://example.com", "seen": "2026-11-29"}, "depth": 3}
    assert first == {"https://example.com": 3}
    assert second == ("a", False)


def test_a_job_that_fails_for_good_says_so_to_whoever_waits(tmp_path: Path):
    async def scenario():
        async with app_at_work(tmp_path) as (app, client):

            @app.job(retries=0)
            async def fail(number: int) -> None:
                raise ValueError(f"not {number}")

            async with working(app, client):
                failing = await fail.enqueue(7)
                with pytest.raises(JobNotCompletedError, match="ValueError: not 7") as failed:
                    await failing.result(timeout_seconds=30)
                # A job whose payload does not fit the function is never tried again.
                answer = await client.send(
                    "jobs.enqueue", {"type": "fail", "name": "x", "payload": {"number": "seven"}}
                )
                unfit = await client.wait_for(answer.key, timeout_seconds=30)
                return failed.value.job, unfit

    job, unfit = asyncio.run(scenario())

    assert job.state == "failed"
    assert unfit.attempt == 1
    assert "Expected `int`, got `str`" in str(unfit.error)


def test_one_worker_works_all_queues_that_the_jobs_of_its_app_name_until_it_is_stopped(tmp_path: Path):
    async def scenario():
        async with app_at_work(tmp_path) as (app, _):

            @app.job(queue="mail")
            async def send(to: str) -> str:
                return to

            @app.job
            async def count() -> int:
                return 1

            worker = app.worker()
            running = asyncio.create_task(worker.run(handle_signals=False))
            mail, other = await send.enqueue("a"), await count.enqueue()
            results = await mail.result(timeout_seconds=30), await other.result(timeout_seconds=30)
            worker.stop()
            await running
            # After the worker has ended, the app still enqueues over its own connection.
            return results, (await count.enqueue()).id

    results, job_id = asyncio.run(scenario())

    assert results == ("a", 1)
    assert job_id


def test_a_job_is_configured_for_one_enqueueing(tmp_path: Path):
    async def scenario():
        async with app_at_work(tmp_path) as (app, client):

            @app.job
            async def later(number: int) -> int:
                return number

            at = datetime(2099, 1, 1, tzinfo=UTC)
            once = later.configure(run_at=at, priority=4, tags=["a"], job_id="one", command_id="order-1")
            job = await once.enqueue(1)
            assert (await once.enqueue(1)).id == job.id
            with pytest.raises(TimeoutError):
                await job.result(timeout_seconds=0)
            return at, await client.get("jobs", id="one")

    at, row = asyncio.run(scenario())

    assert row["run_at"] == at.timestamp() * 1000
    assert (row["priority"], row["state"]) == (4, "scheduled")


def test_jobs_are_enqueued_and_waited_for_from_threads_of_a_program_with_an_open_app(tmp_path: Path):
    async def scenario():
        async with app_at_work(tmp_path) as (app, client):

            @app.job
            def inner(number: int) -> int:
                return 2 * number

            @app.job
            def outer(number: int) -> int:
                # This runs in a thread of the worker, and uses the worker's connection.
                return inner.enqueue_sync(number).result(timeout_seconds=30) + 1

            async with working(app, client):
                with pytest.raises(RuntimeError, match="`await` the other form"):
                    outer.enqueue_sync(1)
                return await asyncio.to_thread(lambda: outer.enqueue_sync(20).result(timeout_seconds=30))

    assert asyncio.run(scenario()) == 41


def test_arguments_that_are_not_the_functions_are_refused_where_they_are_given():
    app = App("nats://nowhere.invalid")

    @app.job
    async def fetch(url: str) -> None: ...

    with pytest.raises(TypeError):
        fetch.command()  # type: ignore[call-arg]
    with pytest.raises(msgspec.ValidationError, match="Expected `str`, got `int`"):
        fetch.command(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is a job fetch already"):
        app.job(name="fetch")(lambda: None)
    with pytest.raises(TypeError, match=r"takes \*args"):
        app.job(name="any")(lambda *args: None)
    with pytest.raises(RuntimeError, match="the app is not open"):
        asyncio.run(fetch.enqueue("https://example.com"))
    with pytest.raises(LookupError, match="no job runs here"):
        current_job()

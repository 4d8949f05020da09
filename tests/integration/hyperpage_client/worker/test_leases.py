"""A worker of the Python client while a handler runs: leases, cancelling, stopping."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bus.worker import JobContext, JobStopped, Worker
from ops.service.composition import Service
from ops.settings import Settings
from tests.support.clock import HOUR_MS, Clock
from tests.support.patience import until
from tests.support.services.at_work import at_work, changes, enqueue, in_state, working
from tests.support.services.serving import client_of, serving


# Heard as an event, with a lease of an hour and so a late heartbeat; or by a heartbeat, without events.
@pytest.mark.parametrize("is_heard", [True, False])
def test_a_coroutine_is_cancelled_when_its_job_is_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_heard: bool
):
    if not is_heard:
        monkeypatch.setattr("hyperpage_client.worker.wake_ups.WakeUps._hear", lambda *_: None)
    reasons: list[str | None] = []

    async def sync(job: JobContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            reasons.append(job.stop_reason)

    async def play() -> dict[str, Any]:
        options: dict[str, Any] = {"lease_ms": HOUR_MS} if is_heard else {"lease_ms": 6_000}
        async with at_work(tmp_path, {"sync": sync}, **options, poll_seconds=0.1) as (client, _):
            await enqueue(client, "a")
            await in_state(client, "a", "running")
            await client.send("jobs.cancel", {"id": "a", "reason": "no longer needed"})
            return await in_state(client, "a", "cancelled")

    asyncio.run(play())

    assert reasons == ["cancel_requested"]


def test_what_happens_to_a_job_before_its_handler_begins_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hyperpage_client.worker.wake_ups.WakeUps._hear", lambda *_: None)
    claimed, begin = Worker._claimed, Worker._begin

    async def cancelled_meanwhile(self: Worker, limit: int) -> dict[str, Any]:
        result = await claimed(self, limit)
        for row in result["jobs"]:
            await self._client.send("jobs.cancel", {"id": row["id"]})
        return result

    def begun_and_heard_of(self: Worker, row: dict[str, Any], asked_at: float) -> None:
        begin(self, row, asked_at)
        self._look_into(row["id"])

    monkeypatch.setattr(Worker, "_claimed", cancelled_meanwhile)
    monkeypatch.setattr(Worker, "_begin", begun_and_heard_of)

    async def play() -> dict[str, Any]:
        handlers = {"sync": lambda job: job.stopped_within(30)}
        async with at_work(tmp_path, handlers, lease_ms=HOUR_MS, poll_seconds=0.1) as (client, _):
            await enqueue(client, "a")
            return await in_state(client, "a", "completed")

    assert asyncio.run(play())["result"] is True


def test_a_thread_sees_that_it_is_to_stop_and_may_finish_all_the_same(tmp_path: Path):
    def obeys(job: JobContext) -> None:
        assert job.stopped_within(30)
        job.raise_if_stopped()

    def finishes(job: JobContext) -> str:
        assert job.stopped_within(30)
        return "done"

    async def play() -> tuple[dict[str, Any], dict[str, Any]]:
        handlers = {"obeys": obeys, "finishes": finishes}
        async with at_work(tmp_path, handlers, lease_ms=HOUR_MS) as (client, _):
            for name in handlers:
                await enqueue(client, name, type=name)
                await in_state(client, name, "running")
                await client.send("jobs.cancel", {"id": name})
            return await in_state(client, "obeys", "cancelled"), await in_state(
                client, "finishes", "completed"
            )

    assert asyncio.run(play())[1]["result"] == "done"


def test_heartbeats_keep_a_job_for_longer_than_its_lease(tmp_path: Path):
    leases: list[str] = []

    async def play() -> dict[str, Any]:
        gate = asyncio.Event()

        async def sync(job: JobContext) -> None:
            leases.append(job.lease)
            await gate.wait()

        async with at_work(tmp_path, {"sync": sync}, lease_ms=5_000) as (client, _):
            await enqueue(client, "kept")
            await in_state(client, "kept", "running")
            # A job without heartbeats, under a later lease: when it is rescued, the first one has run out.
            await enqueue(client, "lost", type="lost")
            await client.send("jobs.claim", {"worker": "gone", "types": ["lost"], "lease_ms": 5_000})
            await in_state(client, "lost", "retrying")
            gate.set()
            return await in_state(client, "kept", "completed")

    row = asyncio.run(play())

    assert (row["attempt"], row["recovery_attempts"], len(leases)) == (1, 0, 1)


def test_a_worker_that_lost_its_lease_is_told_and_its_result_is_dropped(tmp_path: Path):
    async def play() -> None:
        seen: asyncio.Queue[Any] = asyncio.Queue()

        async def sync(job: JobContext) -> str:
            await seen.put(job.lease)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await seen.put(job.stop_reason)
            return "too late"

        async with at_work(tmp_path, {"sync": sync}, lease_ms=5_000) as (client, worker):
            await enqueue(client, "a")
            lease = await seen.get()
            await client.send(
                "jobs.fail", {"id": "a", "lease": lease, "error": "not mine", "retryable": False}
            )
            async with asyncio.timeout(30):
                assert await seen.get() == "lease_lost"
            await until(lambda: worker.running_jobs == [])
            assert (await client.get("jobs", id="a"))["state"] == "failed"

    asyncio.run(play())


def test_an_attempt_that_takes_too_long_is_told_at_once(tmp_path: Path):
    async def play() -> str:
        clock = Clock()
        told: asyncio.Queue[str] = asyncio.Queue()

        async def sync(job: JobContext) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await told.put(str(job.stop_reason))

        # The next heartbeat is twenty minutes away: an event says it.
        async with (
            Service(Settings(data=tmp_path, nats_port=0), clock=clock) as service,
            client_of(service) as client,
            working(client, {"sync": sync}, lease_ms=HOUR_MS),
        ):
            # Behind the time that attempts are given after a start.
            clock.now += 30_000
            await enqueue(client, "a", timeout_ms=60_000, max_attempts=1)
            await in_state(client, "a", "running")
            clock.now += 60_000
            async with asyncio.timeout(30):
                return await told.get()

    assert asyncio.run(play()) == "lease_lost"


def test_a_handler_that_blocks_the_loop_loses_its_lease_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    def is_rescued() -> bool:
        return ("jobs/a", "job.rescued.v1") in changes(tmp_path)

    async def sync(job: JobContext) -> str:
        deadline = time.monotonic() + 30
        while job.id == "a" and not is_rescued():
            assert time.monotonic() < deadline
            # A handler must not do this: it blocks the loop.
            time.sleep(0.05)  # noqa: ASYNC251
        return f"attempt {job.attempt}"

    async def play() -> dict[str, Any]:
        async with at_work(tmp_path, {"sync": sync}, lease_ms=1_000) as (client, _):
            await enqueue(client, "a")
            row = await in_state(client, "a", "completed")
            await enqueue(client, "b")
            await in_state(client, "b", "completed")
            return row

    row = asyncio.run(play())

    assert row["recovery_attempts"] == 1
    assert row["result"] == f"attempt {row['attempt']}"
    assert changes(tmp_path).count(("jobs/a", "job.completed.v1")) == 1
    assert "the event loop stood still" in caplog.text


def test_stopping_gives_jobs_back_without_burning_an_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hyperpage_client.worker.loop.LEAVE_SECONDS", 0.2)
    release = threading.Event()
    cleaned_up: list[str] = []

    async def waits(job: JobContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.append(str(job.stop_reason))

    def obeys(job: JobContext) -> None:
        job.stopped_within(30)
        raise JobStopped

    def never_looks(job: JobContext) -> None:
        release.wait(30)

    async def play() -> list[dict[str, Any]]:
        handlers = {"waits": waits, "obeys": obeys, "never-looks": never_looks}
        async with serving(tmp_path) as service, client_of(service) as client:
            async with working(client, handlers):
                for name in handlers:
                    await enqueue(client, name, type=name)
                    await in_state(client, name, "running")
            return [await client.get("jobs", id=name) for name in handlers]

    try:
        rows = asyncio.run(play())
    finally:
        release.set()

    assert [(row["state"], row["attempt"]) for row in rows] == [("pending", 0)] * 3
    assert cleaned_up == ["shutting_down"]


def test_stopping_lets_jobs_finish_within_the_grace_period(tmp_path: Path):
    async def play() -> dict[str, Any]:
        began, gate = asyncio.Event(), asyncio.Event()

        async def sync(job: JobContext) -> str:
            began.set()
            await gate.wait()
            return "in time"

        async with serving(tmp_path) as service, client_of(service) as client:
            worker = Worker(client, {"sync": sync}, grace_seconds=30)
            running = asyncio.create_task(worker.run())
            await enqueue(client, "a")
            # Not when the job is running: the answer to the claim may still be on its way to the worker.
            await asyncio.wait_for(began.wait(), 30)
            worker.stop()
            await enqueue(client, "b")
            gate.set()
            await running
            assert (await client.get("jobs", id="b"))["state"] == "pending"
            return await client.get("jobs", id="a")

    assert asyncio.run(play())["result"] == "in time"


def test_a_second_stop_ends_the_grace_period_and_cancelling_has_none(tmp_path: Path):
    began = asyncio.Event()

    async def sync(job: JobContext) -> None:
        began.set()
        await asyncio.Event().wait()

    async def play() -> None:
        async with serving(tmp_path) as service, client_of(service) as client:
            await enqueue(client, "a")
            for end in ("stop", "cancel"):
                worker = Worker(client, {"sync": sync}, grace_seconds=3_600)
                running = asyncio.create_task(worker.run())
                # Not when the job is running: the answer to the claim may still be on its way to the worker.
                await asyncio.wait_for(began.wait(), 30)
                began.clear()
                if end == "stop":
                    worker.stop()
                    worker.stop()
                else:
                    running.cancel()
                await asyncio.wait({running}, timeout=30)
                assert running.cancelled() == (end == "cancel")
                assert (await client.get("jobs", id="a"))["state"] == "pending"

    asyncio.run(play())

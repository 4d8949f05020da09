"""A worker of the Python client: what it makes of handlers, with a real service and a real broker."""

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bus.client import BatchCommand
from bus.worker import JobContext, JobFailed, JobSnoozed, JobStopped, Worker
from ops.service import Service
from ops.settings import Settings
from tests.integration.at_work import (
    HOUR_MS,
    at_work,
    changes,
    completed,
    counting_claims,
    enqueue,
    enqueue_many,
    in_state,
    working,
)
from tests.integration.serving import client_of, serving, until
from tests.integration.talking import Clock

FAR_AWAY = 4_102_444_800_000


async def does_nothing(job: JobContext) -> None:
    """Returns at once."""


def test_a_job_is_done_with_what_its_handler_returned(tmp_path: Path):
    async def sync(job: JobContext) -> dict[str, Any]:
        assert job.seconds_left is not None
        assert 0 < job.seconds_left <= 900
        return {"got": job.payload, "attempt": job.attempt, "name": job.name}

    async def play() -> dict[str, Any]:
        async with at_work(tmp_path, {"sync": sync}, name="w1") as (client, _):
            await enqueue(client, "a", payload={"pages": 3})
            return await in_state(client, "a", "completed")

    row = asyncio.run(play())

    assert row["result"] == {"got": {"pages": 3}, "attempt": 1, "name": "a"}
    assert row["worker"] == "w1"


def test_a_plain_function_runs_in_a_thread_and_says_how_far_it_is(tmp_path: Path):
    told = threading.Event()

    def sync(job: JobContext) -> bool:
        job.progress(50, "half of it")
        assert told.wait(30)
        return threading.current_thread() is not threading.main_thread()

    async def play() -> dict[str, Any]:
        async with at_work(tmp_path, {"sync": sync}) as (client, _):
            await enqueue(client, "a")

            async def is_told() -> bool:
                progress = (await client.get("jobs", id="a"))["progress"]
                return progress is not None and progress["note"] == "half of it"

            await until(is_told)
            told.set()
            return await in_state(client, "a", "completed")

    assert asyncio.run(play())["result"] is True


def test_progress_out_of_bounds_is_an_error_of_the_handler(tmp_path: Path):
    async def sync(job: JobContext) -> None:
        job.progress(101)

    async def play() -> dict[str, Any]:
        async with at_work(tmp_path, {"sync": sync}) as (client, _):
            await enqueue(client, "a", max_attempts=1)
            return await in_state(client, "a", "failed")

    assert "percent" in asyncio.run(play())["error"]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("raised", "state", "error"),
    [
        (ValueError("no such page"), "retrying", "ValueError: no such page"),
        (TimeoutError(), "retrying", "TimeoutError"),
        (SystemExit(3), "retrying", "SystemExit: 3"),
        (StopIteration("odd"), "retrying", "StopIteration"),
        (asyncio.CancelledError(), "retrying", "CancelledError"),
        (Unspeakable(), "retrying", "Unspeakable"),
        (ValueError("x" * 20_000), "retrying", "xxx"),
        (ValueError("half a pair: \ud83d"), "retrying", "half a pair: ?"),
        (JobFailed("gone for good", retryable=False), "failed", "gone for good"),
        (JobFailed("later", retry_at=FAR_AWAY), "retrying", "later"),
        (JobFailed("token ghp_" + "a1B2c3D4e5F6" * 3), "retrying", "the error was refused: secret_rejected"),
        (JobFailed("never", retry_at=-1), "retrying", "the error was refused: invalid"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
@pytest.mark.parametrize("in_thread", [False, True])
def test_what_a_handler_raises_ends_its_attempt_and_not_the_worker(
    tmp_path: Path, raised: BaseException, state: str, error: str, *, in_thread: bool
):
    def plain(job: JobContext) -> None:
        raise raised

    async def coroutine(job: JobContext) -> None:
        raise raised

    async def play() -> dict[str, Any]:
        handlers = {"sync": plain if in_thread else coroutine, "next": does_nothing}
        async with at_work(tmp_path, handlers) as (client, _):
            await enqueue(client, "a")
            row = await in_state(client, "a", state)
            await enqueue(client, "b", type="next")
            await in_state(client, "b", "completed")
            return row

    row = asyncio.run(play())

    assert error in row["error"]
    assert row["run_at"] == FAR_AWAY or getattr(raised, "retry_at", None) != FAR_AWAY


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (object(), "cannot be written as JSON"),
        ("x" * 300_000, "the result was refused: too_large"),
        ("x" * 1_200_000, "the result was refused: too_large"),
        ({"found": "ghp_" + "a1B2c3D4e5F6" * 3}, "the result was refused: secret_rejected"),
    ],
    ids=["no JSON", "too large", "larger than a message", "a credential"],
)
def test_a_result_that_cannot_be_kept_fails_the_job_for_good(tmp_path: Path, result: Any, error: str):
    async def sync(job: JobContext) -> Any:
        return result

    async def play() -> dict[str, Any]:
        async with at_work(tmp_path, {"sync": sync}) as (client, _):
            await enqueue(client, "a")
            return await in_state(client, "a", "failed")

    assert error in asyncio.run(play())["error"]


def test_a_snoozed_job_comes_again_and_the_attempt_does_not_count(tmp_path: Path):
    async def sync(job: JobContext) -> None:
        raise JobSnoozed(until=FAR_AWAY)

    async def play() -> dict[str, Any]:
        async with at_work(tmp_path, {"sync": sync}) as (client, _):
            await enqueue(client, "a")
            return await in_state(client, "a", "scheduled")

    row = asyncio.run(play())

    assert (row["run_at"], row["attempt"]) == (FAR_AWAY, 0)


def test_no_more_jobs_than_the_worker_has_room_for(tmp_path: Path):
    running: list[str] = []

    async def play() -> None:
        gate = asyncio.Semaphore(0)

        async def sync(job: JobContext) -> None:
            running.append(job.id)
            await gate.acquire()
            running.remove(job.id)

        async with at_work(tmp_path, {"sync": sync}, concurrency=3) as (client, worker):
            await enqueue_many(client, 10)
            for left in range(10, 0, -1):
                expected = min(3, left)
                await until(lambda expected=expected: len(running) == expected)  # type: ignore[misc]
                assert await client.count("jobs", state="running") <= 4
                assert len(worker.running_jobs) <= 3
                gate.release()
            await completed(client, 10)

    asyncio.run(play())


def test_claims_follow_events_and_there_is_none_while_nothing_happens(tmp_path: Path):
    async def play() -> tuple[int, int]:
        async with (
            serving(tmp_path) as service,
            client_of(service) as client,
            counting_claims(service) as claims,
            working(client, {"sync": does_nothing}),
        ):
            await until(lambda: claims.seen == 1)
            await enqueue(client, "another-queue", queue="other")
            await enqueue(client, "another-type", type="other")
            await enqueue(client, "held", hold=True)
            await enqueue(client, "later", run_at=FAR_AWAY)
            await client.send("app_state.set", {"key": "a", "value": 1})
            await enqueue(client, "ours")
            await in_state(client, "ours", "completed")
            await until(lambda: claims.seen >= 3)
            return claims.seen, await client.count("jobs", state="completed")

    # One at the start, the one that found a job, and one that found no further one.
    assert asyncio.run(play()) == (3, 1)


def test_a_job_is_claimed_when_its_time_comes_and_when_its_queue_is_resumed(tmp_path: Path):
    attempts = Counter[str]()

    async def sync(job: JobContext) -> None:
        attempts[job.id] += 1
        if job.id == "again" and attempts[job.id] == 1:
            raise JobFailed("not yet", retry_at=now() + 300)

    def now() -> int:
        return time.time_ns() // 1_000_000

    async def play() -> None:
        async with at_work(tmp_path, {"sync": sync}) as (client, _):
            await enqueue(client, "soon", run_at=now() + 300)
            await enqueue(client, "again")
            await enqueue(client, "held", hold=True)
            await completed(client, 2)
            await client.send("jobs.release", {"id": "held"})
            await completed(client, 3)
            await client.send("jobs.pause_queue", {"queue": "default"})
            await enqueue(client, "waits")
            await enqueue(client, "waits-too", depends_on=["waits"])
            await client.send("jobs.resume_queue", {"queue": "default"})
            await completed(client, 5)

    asyncio.run(play())

    assert attempts == {"soon": 1, "again": 2, "held": 1, "waits": 1, "waits-too": 1}


def test_a_job_that_is_soon_due_is_not_crowded_out_by_many_that_are_not(tmp_path: Path):
    async def play() -> None:
        async with at_work(tmp_path, {"sync": does_nothing}) as (client, _):
            await enqueue_many(client, 2_000, run_at=FAR_AWAY)
            await enqueue(client, "soon", run_at=time.time_ns() // 1_000_000 + 300)
            await completed(client, 1)

    asyncio.run(play())


def test_many_events_that_concern_others_make_few_claims(tmp_path: Path):
    async def play() -> int:
        async with (
            serving(tmp_path) as service,
            client_of(service) as client,
            counting_claims(service) as claims,
            working(client, {"sync": does_nothing}),
        ):
            others = await enqueue_many(client, 1_000, queue="other", hold=True)
            # An event of a release does not say which queue it is of.
            await client.send_batch(BatchCommand(command="jobs.release", body={"id": one}) for one in others)
            await enqueue(client, "ours")
            await completed(client, 1)
            return claims.seen

    assert asyncio.run(play()) < 200


def test_jobs_that_nothing_was_heard_of_are_found_by_polling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.worker_wake_ups.WakeUps._hear", lambda *_: None)

    async def play() -> None:
        async with at_work(tmp_path, {"sync": does_nothing}, poll_seconds=0.1) as (client, _):
            for number in range(3):
                await enqueue(client, f"job-{number}")
                await in_state(client, f"job-{number}", "completed")

    asyncio.run(play())


# By an event with a lease of an hour, whose first heartbeat is far; by a heartbeat where no event is heard.
@pytest.mark.parametrize("is_heard", [True, False])
def test_a_coroutine_is_cancelled_when_its_job_is_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_heard: bool
):
    if not is_heard:
        monkeypatch.setattr("bus.worker_wake_ups.WakeUps._hear", lambda *_: None)
    reasons: list[str | None] = []

    async def sync(job: JobContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            reasons.append(job.stop_reason)

    async def play() -> dict[str, Any]:
        options: dict[str, Any] = {"lease_ms": HOUR_MS} if is_heard else {"lease_ms": 1_000}
        async with at_work(tmp_path, {"sync": sync}, **options, poll_seconds=0.1) as (client, _):
            await enqueue(client, "a")
            await in_state(client, "a", "running")
            await client.send("jobs.cancel", {"id": "a", "reason": "no longer needed"})
            return await in_state(client, "a", "cancelled")

    asyncio.run(play())

    assert reasons == ["cancel_requested"]


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

        async with at_work(tmp_path, {"sync": sync}, lease_ms=1_000) as (client, _):
            await enqueue(client, "kept")
            await in_state(client, "kept", "running")
            # One that nobody keeps, under a lease that began later: once it is rescued, time has passed.
            await enqueue(client, "lost", type="lost")
            await client.send("jobs.claim", {"worker": "gone", "types": ["lost"], "lease_ms": 1_000})
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

        async with at_work(tmp_path, {"sync": sync}, lease_ms=1_000) as (client, worker):
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


def test_progress_that_is_refused_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async def play() -> None:
        gate = asyncio.Event()

        async def sync(job: JobContext) -> None:
            job.progress(10, "with ghp_" + "a1B2c3D4e5F6" * 3)
            await gate.wait()

        async with at_work(tmp_path, {"sync": sync}) as (client, _):
            await enqueue(client, "a")
            await until(lambda: "job a: progress is refused" in caplog.text)
            gate.set()
            await in_state(client, "a", "completed")

    asyncio.run(play())


def test_a_handler_that_blocks_the_loop_loses_its_lease_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    def is_rescued() -> bool:
        return ("jobs/a", "job.rescued.v1") in changes(tmp_path)

    async def sync(job: JobContext) -> str:
        deadline = time.monotonic() + 30
        while job.id == "a" and not is_rescued():
            assert time.monotonic() < deadline
            # Which is what it must not do: nobody else has a turn.
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
    monkeypatch.setattr("bus.worker.LEAVE_SECONDS", 0.2)
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
        gate = asyncio.Event()

        async def sync(job: JobContext) -> str:
            await gate.wait()
            return "in time"

        async with serving(tmp_path) as service, client_of(service) as client:
            worker = Worker(client, {"sync": sync}, grace_seconds=30)
            running = asyncio.create_task(worker.run())
            await enqueue(client, "a")
            await in_state(client, "a", "running")
            worker.stop()
            await enqueue(client, "b")
            gate.set()
            await running
            assert (await client.get("jobs", id="b"))["state"] == "pending"
            return await client.get("jobs", id="a")

    assert asyncio.run(play())["result"] == "in time"


def test_a_second_stop_ends_the_grace_period_and_cancelling_has_none(tmp_path: Path):
    async def sync(job: JobContext) -> None:
        await asyncio.Event().wait()

    async def play() -> None:
        async with serving(tmp_path) as service, client_of(service) as client:
            await enqueue(client, "a")
            for end in ("stop", "cancel"):
                worker = Worker(client, {"sync": sync}, grace_seconds=3_600)
                running = asyncio.create_task(worker.run())
                await in_state(client, "a", "running")
                if end == "stop":
                    worker.stop()
                    worker.stop()
                else:
                    running.cancel()
                await asyncio.wait({running}, timeout=30)
                assert running.cancelled() == (end == "cancel")
                assert (await client.get("jobs", id="a"))["state"] == "pending"

    asyncio.run(play())


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": 1_001},
        {"lease_ms": 999},
        {"queue": "no queue"},
        {"poll_seconds": 0},
        {"grace_seconds": -1},
        {"name": "x" * 201},
        {"handlers": {}},
        {"handlers": {f"type {number}": does_nothing for number in range(101)}},
    ],
    ids=str,
)
def test_a_worker_that_the_service_would_refuse_is_not_made(tmp_path: Path, options: dict[str, Any]):
    async def play() -> None:
        async with serving(tmp_path) as service, client_of(service) as client:
            with pytest.raises(ValueError):
                Worker(client, **{"handlers": {"sync": does_nothing}} | options)

    asyncio.run(play())

"""A worker of the Python client: the commands that follow from the end of a handler."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from bus.worker import JobContext, JobFailed, JobSnoozed
from hyperpage_client.worker.attempt import LEFT_OUT
from tests.support.patience import until
from tests.support.services.at_work import (
    FAR_AWAY,
    at_work,
    does_nothing,
    enqueue,
    in_state,
)

ROW = {
    "id": "a",
    "type": "sync",
    "name": "a",
    "payload": {},
    "attempt": 1,
    "max_attempts": 3,
    "lease": "l",
}


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


@pytest.mark.parametrize("made", [-1, 2.0, True, 2**53])
def test_a_handler_hears_at_once_of_what_is_no_number_of_calls(made: Any):
    job = JobContext(ROW, None, lambda _: None)
    job.calls = 7
    with pytest.raises(ValueError, match="not a number of calls"):
        job.calls = made
    assert job.calls == 7


def test_a_job_whose_number_of_calls_the_service_does_not_take_is_done_all_the_same(tmp_path: Path):
    async def sync(job: JobContext) -> str:
        # A number that the service refuses, as an older service refuses any.
        job._calls = -1
        return "done"

    async def fails(job: JobContext) -> None:
        job._calls = -1
        raise JobFailed("gone", retryable=False)

    async def play() -> list[Any]:
        async with at_work(tmp_path, {"sync": sync, "fails": fails}) as (client, _):
            await enqueue(client, "a")
            await enqueue(client, "b", type="fails")
            return [
                (await in_state(client, "a", "completed"))["result"],
                (await in_state(client, "b", "failed"))["error"],
            ]

    assert asyncio.run(play()) == ["done", "gone"]


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


def look_up() -> None:
    try:
        (1).to_bytes(0)
    except OverflowError as error:
        raise KeyError("missing") from error


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_failed_attempt_keeps_where_it_failed_and_because_of_what(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, in_thread: bool
):
    def plain(job: JobContext) -> None:
        look_up()

    async def coroutine(job: JobContext) -> None:
        look_up()

    async def play() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        async with at_work(tmp_path, {"sync": plain if in_thread else coroutine}) as (client, _):
            await enqueue(client, "a", max_attempts=1)
            row = await in_state(client, "a", "failed")
            return row, await client.query("jobs.attempts", {"id": "a"}), await client.query("jobs.list")

    row, attempts, listed = asyncio.run(play())

    assert row["error"] == "KeyError: 'missing'"
    first, *lines = row["traceback"].splitlines()
    assert first == "Traceback (most recent call last):"
    assert "OverflowError: int too big to convert" in lines
    assert lines[-1] == "KeyError: 'missing'"
    # The first frame of what was raised last is the handler's own.
    last = row["traceback"].rpartition("Traceback (most recent call last):\n")[2]
    assert f"in {'plain' if in_thread else 'coroutine'}" in last.splitlines()[0]
    assert [one["traceback"] for one in attempts["items"]] == [row["traceback"]]
    assert [one["id"] for one in listed["items"]] == ["a"]
    assert "traceback" not in listed["items"][0]
    [said] = [one for one in caplog.records if one.exc_info]
    assert (said.levelname, said.getMessage()) == (
        "ERROR",
        "job a (sync): attempt 1 of 1 failed: KeyError: 'missing'",
    )


def test_a_long_traceback_keeps_its_beginning_and_its_end_and_says_what_is_left_out(tmp_path: Path):
    async def sync(job: JobContext) -> None:
        raise ExceptionGroup("many", [ValueError("x" * 9_000), ValueError("ä" * 9_000), KeyError("missing")])

    async def play() -> dict[str, Any]:
        async with at_work(tmp_path, {"sync": sync}) as (client, _):
            await enqueue(client, "a")
            return await in_state(client, "a", "retrying")

    text = asyncio.run(play())["traceback"]

    assert 9_000 < len(text) <= 10_000
    assert text.startswith("  + Exception Group Traceback (most recent call last):")
    assert "characters are left out here" in text
    assert "KeyError: 'missing'" in text


def test_a_credential_in_a_traceback_takes_nothing_else_along(tmp_path: Path):
    secret = "ghp_" + "a1B2c3D4e5F6" * 3

    async def sync(job: JobContext) -> None:
        raise JobFailed("no such page", retry_at=FAR_AWAY) from KeyError(f"https://me:{secret}@example.org")

    async def play() -> dict[str, Any]:
        async with at_work(tmp_path, {"sync": sync}) as (client, _):
            await enqueue(client, "a")
            return await in_state(client, "a", "retrying")

    row = asyncio.run(play())

    assert (row["error"], row["traceback"]) == ("no such page", LEFT_OUT)
    assert row["run_at"] == FAR_AWAY
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret.encode() not in stored


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

"""Claims of a worker of the Python client: when it claims, and how many jobs."""

import asyncio
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from nats.errors import BadSubjectError

from bus.broker.server import NatsServer
from bus.client import BatchCommand, Client
from bus.worker import JobContext, JobFailed, Worker
from hyperpage_client.contract.subjects import BusNames
from tests.support.patience import until
from tests.support.services.at_work import (
    FAR_AWAY,
    at_work,
    completed,
    counting_claims,
    does_nothing,
    enqueue,
    enqueue_many,
    in_state,
    working,
)
from tests.support.services.serving import client_of, serving, writer_held


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


def test_the_next_job_is_asked_for_behind_the_report_of_the_last_and_not_behind_its_answer(tmp_path: Path):
    async def play() -> None:
        begun: list[str] = []
        ends = asyncio.Event()

        async def sync(job: JobContext) -> None:
            begun.append(job.id)
            await ends.wait()

        async with (
            serving(tmp_path) as service,
            client_of(service) as client,
            working(client, {"sync": sync}, concurrency=1) as worker,
        ):
            await enqueue_many(client, 3)
            await until(lambda: begun)
            async with writer_held(service):
                ends.set()
                await until(lambda: service.leading.writer.waiting == 2)
                assert worker.running_jobs == []
            await completed(client, 3)

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

    # Three claims: at the start, the one that found the job, and one that found no other job.
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


def test_a_job_that_waits_for_another_of_its_key_is_claimed_when_that_one_ends(tmp_path: Path):
    running = Counter[str]()

    async def sync(job: JobContext) -> None:
        running.update(["now"])
        assert running["now"] == 1
        await asyncio.sleep(0)
        running.subtract(["now"])

    async def play() -> None:
        async with at_work(tmp_path, {"sync": sync}) as (client, _):
            one = {"concurrency": {"key": "acme", "limit": 1}}
            await enqueue(client, "elsewhere", queue="other", **one)
            claimed = await client.send("jobs.claim", {"worker": "w", "queue": "other"})
            for number in range(5):
                await enqueue(client, f"waits-{number}", **one)
            await enqueue(client, "free")
            await completed(client, 1)
            lease = claimed.result["jobs"][0]["lease"]
            await client.send("jobs.complete", {"id": "elsewhere", "lease": lease})
            await completed(client, 7)

    asyncio.run(play())


def test_a_job_that_is_soon_due_is_not_crowded_out_by_many_that_are_not(tmp_path: Path):
    async def play() -> None:
        async with at_work(tmp_path, {"sync": does_nothing}) as (client, _):
            await enqueue_many(client, 2_000, run_at=FAR_AWAY)
            await enqueue(client, "soon", run_at=time.time_ns() // 1_000_000 + 300)
            await completed(client, 1)

    asyncio.run(play())


def test_a_worker_is_seen_before_it_has_a_job_with_its_host_and_version(tmp_path: Path):
    async def play() -> Any:
        handlers = {"sync": does_nothing, "index": does_nothing}
        async with at_work(tmp_path, handlers, name="w", version="1.2.3") as (client, _):

            async def workers() -> Any:
                return (await client.query("jobs.workers", {}))["workers"]

            await until(workers)
            return (await workers())["w"]

    seen = asyncio.run(play())
    assert (seen["running"], seen["version"], seen["host"]) == (0, "1.2.3", socket.gethostname())
    assert seen["asks_for"] == {"default": ["index", "sync"]}


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
    monkeypatch.setattr("hyperpage_client.worker.wake_ups.WakeUps._hear", lambda *_: None)

    async def play() -> None:
        async with at_work(tmp_path, {"sync": does_nothing}, poll_seconds=0.1) as (client, _):
            for number in range(3):
                await enqueue(client, f"job-{number}")
                await in_state(client, f"job-{number}", "completed")

    asyncio.run(play())


class NoQueues(BusNames, frozen=True, kw_only=True):
    """Names of which those of queues cannot be listened to."""

    def event(self, stream: str, type_name: str) -> str:
        return "no subject"


def test_a_worker_that_cannot_listen_to_all_that_it_needs_listens_to_nothing(tmp_path: Path):
    async def play() -> None:
        async with NatsServer(data=tmp_path, port=0) as server, client_of(server) as client:
            before = dict(client.connection.nats._subs)
            client.names = NoQueues()
            with pytest.raises(BadSubjectError):
                await Worker(client, {"sync": does_nothing}).run()
            assert client.connection.nats._subs == before

    asyncio.run(play())


def test_a_worker_on_a_machine_without_a_name_says_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("socket.gethostname", lambda: "")
    # No client is needed before the worker runs.
    worker = Worker(cast(Client, None), {"sync": does_nothing})
    assert worker._claim.host is None


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
    # A function's address differs from one process to the next, and tests on all cores must have one name.
    ids=lambda options: str(options) if len(options.get("handlers", ())) < 100 else "too many handlers",
)
def test_a_worker_that_the_service_would_refuse_is_not_made(tmp_path: Path, options: dict[str, Any]):
    async def play() -> None:
        async with serving(tmp_path) as service, client_of(service) as client:
            with pytest.raises(ValueError):
                Worker(client, **{"handlers": {"sync": does_nothing}} | options)

    asyncio.run(play())

"""Workers, services and brokers that end in the middle of jobs: none is lost, or done twice at once."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.broker.server import NatsServer
from bus.broker.users import APP
from bus.client import Answer, Client, ClosedError, Unreachable
from bus.worker import JobContext, Worker
from hyperpage_client.commands.jobs import Claim
from ops.service.composition import Service
from tests.support.machines import nats_process
from tests.support.patience import until
from tests.support.repository import ROOT
from tests.support.services.at_work import NEVER, changes, completed, enqueue, enqueue_many, in_state, working
from tests.support.services.serving import broker_of, client_of, serving


class Handled:
    """Counts how often each job was handled, and how many at once."""

    def __init__(self) -> None:
        self.times = Counter[str]()

    async def sync(self, job: JobContext) -> str:
        self.times[job.id] += 1
        # Lets other handlers run.
        await asyncio.sleep(0)
        return job.id


async def waits(job: JobContext) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def worker_process(service: Service, *, lease_ms: int) -> AsyncIterator[Process]:
    arguments = [broker_of(service).url_for(APP), str(lease_ms)]
    program = [sys.executable, "-m", "tests.support.programs.working_program", *arguments]
    process = await asyncio.create_subprocess_exec(*program, cwd=ROOT, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def has_begun(process: Process, count: int) -> None:
    """Returns when so many handlers have begun in the other process."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        for _ in range(count):
            assert await process.stdout.readline()


def test_two_thousand_jobs_through_two_workers_are_each_done_exactly_once(tmp_path: Path):
    handled = Handled()

    async def play() -> None:
        async with serving(tmp_path) as service, client_of(service) as one, client_of(service) as other:
            async with (
                working(one, {"sync": handled.sync}, concurrency=50, name="one"),
                working(other, {"sync": handled.sync}, concurrency=50, name="other"),
            ):
                await enqueue_many(one, 2_000)
                await completed(one, 2_000)
            assert await one.count("jobs", worker="one") > 0
            assert await one.count("jobs", worker="other") > 0

    asyncio.run(play())

    assert len(handled.times) == 2_000
    assert set(handled.times.values()) == {1}
    assert Counter(kind for _, kind in changes(tmp_path)) == {
        "job.enqueued.v1": 2_000,
        "job.claimed.v1": 2_000,
        "job.completed.v1": 2_000,
    }


def test_the_jobs_of_a_worker_that_is_killed_go_to_another_one(tmp_path: Path):
    handled = Handled()

    async def play() -> dict[str, Any]:
        async with serving(tmp_path) as service, client_of(service) as client:
            await enqueue(client, "a")
            async with worker_process(service, lease_ms=1_000) as process:
                await has_begun(process, 1)
                process.kill()
                await process.wait()
            async with working(client, {"sync": handled.sync}):
                return await in_state(client, "a", "completed")

    row = asyncio.run(play())

    assert (row["recovery_attempts"], row["attempt"]) == (1, 1)
    assert handled.times == {"a": 1}


def test_sigterm_gives_jobs_back_and_ends_the_process_whatever_its_threads_do(tmp_path: Path):
    async def play() -> tuple[int, list[dict[str, Any]]]:
        async with serving(tmp_path) as service, client_of(service) as client:
            await enqueue(client, "a")
            await enqueue(client, "b", queue="threads")
            async with worker_process(service, lease_ms=30_000) as process:
                await has_begun(process, 2)
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(30):
                    exit_code = await process.wait()
            return exit_code, [await client.get("jobs", id=one) for one in "ab"]

    exit_code, rows = asyncio.run(play())

    assert exit_code == 0
    assert [(row["state"], row["attempt"]) for row in rows] == [("pending", 0)] * 2


def test_jobs_go_on_through_a_broker_that_is_killed(tmp_path: Path):
    handled = Handled()

    async def play() -> None:
        async with serving(tmp_path) as service, client_of(service) as client:
            job_ids = await enqueue_many(client, 1_000)
            async with working(client, {"sync": handled.sync}, concurrency=20):
                for reached in (100, 400):
                    await until(lambda reached=reached: len(handled.times) >= reached)  # type: ignore[misc]
                    await nats_process.kill(broker_of(service))
                await completed(client, 1_000)
                # The worker hears of a job that is enqueued now.
                await enqueue(client, "afterwards")
                await completed(client, 1_001)
            assert handled.times == Counter([*job_ids, "afterwards"])

    asyncio.run(play())


def test_what_was_done_while_the_service_was_away_counts_when_it_is_back(tmp_path: Path):
    async def play() -> dict[str, Any]:
        gate = asyncio.Event()
        ended = asyncio.Event()

        async def sync(job: JobContext) -> str:
            await gate.wait()
            ended.set()
            return "done meanwhile"

        async with (
            NatsServer(data=tmp_path / "broker", port=0) as server,
            client_of(server) as client,
            working(client, {"sync": sync}, lease_ms=10_000),
        ):
            async with serving(tmp_path / "data", server):
                await enqueue(client, "a")
                await in_state(client, "a", "running")
            gate.set()
            await ended.wait()
            async with serving(tmp_path / "data", server):
                return await in_state(client, "a", "completed")

    row = asyncio.run(play())

    assert (row["attempt"], row["recovery_attempts"], row["result"]) == (1, 0, "done meanwhile")


class Deaf(Client):
    """Hears the answer to a command only when it is sent again."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.connection, client.names)
        self.lost: set[str] = set()

    async def send(self, command: str | msgspec.Struct, body: Any = None, **about: Any) -> Answer:
        answer = await super().send(command, body, **about)
        command_id = about.get("command_id")
        if command_id is not None and command_id not in self.lost:
            self.lost.add(command_id)
            raise Unreachable("the answer is lost", may_have_been_carried_out=True)
        return answer


def test_lost_answers_are_asked_for_again_and_nothing_is_done_twice(tmp_path: Path):
    handled = Handled()

    async def play() -> int:
        async with serving(tmp_path) as service, client_of(service) as client:
            deaf = Deaf(client)
            async with working(deaf, {"sync": handled.sync}, concurrency=20):
                await enqueue_many(client, 40)
                await completed(client, 40)
            return len(deaf.lost)

    assert asyncio.run(play()) >= 42
    assert handled.times == Counter(f"job-{number}" for number in range(40))
    kinds = Counter(kind for _, kind in changes(tmp_path))
    assert kinds["job.claimed.v1"] == kinds["job.completed.v1"] == 40


class Late(Client):
    """Hears the answer to the first claim that finds a job only after the job was rescued."""

    def __init__(self, client: Client, folder: Path) -> None:
        super().__init__(client.connection, client.names)
        self._folder = folder
        self.has_waited = False

    async def send(self, command: str | msgspec.Struct, body: Any = None, **about: Any) -> Answer:
        answer = await super().send(command, body, **about)
        if isinstance(command, Claim) and answer.events and not self.has_waited:
            await until(lambda: ("jobs/a", "job.rescued.v1") in changes(self._folder))
            self.has_waited = True
        return answer


def test_a_job_whose_claim_was_answered_too_late_is_left_to_whoever_has_it(tmp_path: Path):
    handled = Handled()

    async def play() -> dict[str, Any]:
        async with serving(tmp_path) as service, client_of(service) as client:
            late = Late(client, tmp_path)
            async with working(late, {"sync": handled.sync}, lease_ms=3_000):
                await enqueue(client, "a")
                row = await in_state(client, "a", "completed")
            assert late.has_waited
            return row

    assert asyncio.run(play())["recovery_attempts"] == 1
    assert handled.times == {"a": 1}


class StopsIt(Client):
    """Stops a worker while a claim of its that finds a job is on its way."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.connection, client.names)
        self.worker: Worker | None = None

    async def send(self, command: str | msgspec.Struct, body: Any = None, **about: Any) -> Answer:
        answer = await super().send(command, body, **about)
        if isinstance(command, Claim) and answer.events and self.worker is not None:
            self.worker.stop()
        return answer


def test_a_job_that_is_claimed_while_the_worker_stops_is_given_back_untouched(tmp_path: Path):
    handled = Handled()

    async def play() -> dict[str, Any]:
        async with serving(tmp_path) as service, client_of(service) as client:
            stopping = StopsIt(client)
            stopping.worker = Worker(stopping, {"sync": handled.sync}, grace_seconds=3_600)
            await enqueue(client, "a")
            async with asyncio.timeout(30):
                await stopping.worker.run()
            return await client.get("jobs", id="a")

    row = asyncio.run(play())

    assert (row["state"], row["attempt"]) == ("pending", 0)
    assert handled.times == {}


def test_a_worker_stops_although_nobody_is_there_to_take_its_jobs_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hyperpage_client.worker.loop.LEAVE_SECONDS", 0.2)
    monkeypatch.setattr("hyperpage_client.worker.loop.GIVE_BACK_SECONDS", 0.2)

    async def play() -> None:
        async with NatsServer(data=tmp_path / "broker", port=0) as server, client_of(server) as client:
            worker = Worker(client, {"sync": waits}, concurrency=2, grace_seconds=0)
            running = asyncio.create_task(worker.run())
            async with serving(tmp_path / "data", server):
                await enqueue(client, "a")
                await in_state(client, "a", "running")
            await server.stop()
            worker.stop()
            async with asyncio.timeout(30):
                await running
            assert worker.running_jobs == []

    asyncio.run(play())


def test_a_worker_whose_connection_is_closed_ends_with_an_error(tmp_path: Path):
    async def play() -> None:
        async with serving(tmp_path) as service, client_of(service) as client:
            worker = Worker(client, {"sync": waits}, poll_seconds=NEVER, grace_seconds=3_600)
            running = asyncio.create_task(worker.run())
            await enqueue(client, "a")
            await in_state(client, "a", "running")
            await client.connection.close()
            with pytest.raises(ClosedError):
                await asyncio.wait_for(running, 30)
            assert worker.running_jobs == []

    asyncio.run(play())

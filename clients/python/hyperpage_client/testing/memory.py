"""A queue in memory, and its clock, in place of a service."""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from hyperpage_client.app import App
from hyperpage_client.commands.jobs import Enqueue, RetryPolicy
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.documents import encode
from hyperpage_client.errors import AlreadyExists, Invalid
from hyperpage_client.worker import JobContext, JobFailed, JobSnoozed
from hyperpage_client.worker.handler import described

# More attempts than any test means to run: jobs that enqueue themselves for ever end here.
MOST_ATTEMPTS = 10_000
RETRY_AFTER_MS = 60_000

_ORDINARY = RetryPolicy()


class Clock:
    """A clock that stands still until it is advanced."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now or datetime.now(UTC)

    def now(self) -> datetime:
        """The time that it shows, in UTC."""
        return self._now

    def advance(self, seconds: float | timedelta) -> None:
        """Moves the clock on by that much."""
        self._now += seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)


class MemoryJob:
    """A job in memory. `state` is pending, running, completed or failed, `error` why an attempt failed."""

    def __init__(self, job_id: str, command: Enqueue, due_at: int) -> None:
        self.id = job_id
        self.type = command.type
        # The payload as a worker would read it.
        self.payload = msgspec.json.decode(msgspec.json.encode(command.payload))
        self.command = command
        self.state = "pending"
        self.attempt = 0
        self.error: str | None = None
        self.exception: BaseException | None = None
        self.result: Any = None
        self.due_at = due_at

    @property
    def row(self) -> dict[str, Any]:
        """The job's row, as the context of its function has it."""
        return {
            "id": self.id,
            "type": self.type,
            "name": self.command.name,
            "payload": self.payload,
            "attempt": self.attempt,
            "max_attempts": self.command.max_attempts,
            "lease": "memory",
        }


class MemoryQueue:
    """The jobs that were enqueued, in order, run in memory; it takes the place of a service for an app."""

    def __init__(self, app: App, *, inline: bool = False) -> None:
        self.jobs: list[MemoryJob] = []
        self.clock = Clock()
        self._app = app
        self._inline = inline
        self._answers: dict[str, CommandAnswer] = {}

    async def send(self, command: Enqueue, /, *, command_id: str = "") -> CommandAnswer:
        """Enqueues a job. Unique keys, dependencies, groups and limits are ignored; jobs run one by one.

        Raises:
            Invalid: a service would refuse the command, too, by its fields alone.
            AlreadyExists: there is a job with its id.
        """
        check(command)
        if command_id and (before := self._answers.get(command_id)) is not None:
            return before
        job_id = command.id or f"job-{len(self.jobs) + 1}"
        if any(one.id == job_id for one in self.jobs):
            raise AlreadyExists(f"there is a job {job_id} already")
        due = self._now_ms() if command.run_at is None else command.run_at
        self.jobs.append(MemoryJob(job_id, command, due))
        if self._inline:
            await self.drain()
        answer = CommandAnswer(
            command_id or job_id, f"jobs/{job_id}", 1, len(self.jobs), 1, ["job.enqueued.v1"]
        )
        self._answers[answer.command_id] = answer
        return answer

    async def wait_for(self, job_id: str, /, *, timeout_seconds: float | None = None) -> MemoryJob:
        """A job that has ended; jobs that are due run first.

        Raises:
            LookupError: there is no such job.
            TimeoutError: it is not due, failed and is tried again later, or is of a type that the app lacks.
        """
        await self.drain()
        job = next((one for one in self.jobs if one.id == job_id), None)
        if job is None:
            raise LookupError(f"there is no job {job_id}")
        if job.type not in self._app.jobs:
            raise TimeoutError(f"job {job_id} does not run: the app has no job {job.type}")
        if job.state in ("pending", "running"):
            raise TimeoutError(f"job {job_id} is not due: move the clock on")
        return job

    async def drain(self) -> int:
        """Runs jobs that are due, and those that they enqueue; returns how many attempts that took.

        A job of a type that the app does not have stays pending.

        A job whose attempt fails is tried again by the clock, while attempts are left: a minute later, or
        after the delay of its policy, at its longest where that is random.
        """
        attempts = 0
        while (job := self._next()) is not None:
            attempts += 1
            if attempts > MOST_ATTEMPTS:
                raise RuntimeError(f"jobs enqueue each other for ever: {job.type} was the last")
            await self._run(job)
        return attempts

    def _next(self) -> MemoryJob | None:
        now = self._now_ms()
        # As a worker of the app does, this leaves types that the app does not have to others.
        waiting = (one for one in self.jobs if one.state == "pending" and one.type in self._app.jobs)
        due = [one for one in waiting if one.due_at <= now]
        return min(due, key=lambda one: (-one.command.priority, one.due_at), default=None)

    def _now_ms(self) -> int:
        return round(self.clock.now().timestamp() * 1000)

    async def _run(self, job: MemoryJob) -> None:
        job.attempt += 1
        # Not pending any more: if its function enqueues jobs or waits for one, the others run meanwhile.
        job.state = "running"
        handler = self._app.jobs[job.type].handler
        context = JobContext(job.row, None, lambda _: None)
        try:
            if inspect.iscoroutinefunction(handler):
                job.result = await handler(context)
            else:
                job.result = await asyncio.to_thread(handler, context)
            job.result = msgspec.json.decode(msgspec.json.encode(job.result))
        except JobSnoozed as snoozed:
            job.attempt -= 1
            job.state, job.due_at = "pending", snoozed.until
        except Exception as error:
            job.exception = error
            job.error = described(error)
            retryable = not isinstance(error, JobFailed) or error.retryable
            if retryable and job.attempt < job.command.max_attempts:
                wished = error.retry_at if isinstance(error, JobFailed) else None
                job.state, job.due_at = "pending", wished or self._now_ms() + delay_of(job)
            else:
                job.state = "failed"
        else:
            job.state = "completed"


def check(command: Enqueue) -> None:
    """Checks a command as a service would: its types, their bounds, and which fields a policy may combine.

    Raises:
        Invalid: a service would refuse it.
    """
    try:
        msgspec.json.decode(encode(command), type=Enqueue)
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None
    if (policy := command.retry) is None:
        return
    grows = any(getattr(policy, name) != getattr(_ORDINARY, name) for name in ("base_ms", "factor", "cap_ms"))
    if policy.delays_ms is not None and grows:
        raise Invalid("either delays_ms, or base_ms, factor and cap_ms - at `$.retry`")
    if _ORDINARY.cap_ms != policy.cap_ms < policy.base_ms:
        raise Invalid("cap_ms is at least base_ms - at `$.retry`")


def delay_of(job: MemoryJob) -> int:
    """The delay of a job after its attempt, in milliseconds; where it is random, the longest."""
    policy = job.command.retry
    if policy is None:
        return RETRY_AFTER_MS
    if policy.delays_ms:
        return policy.delays_ms[min(job.attempt, len(policy.delays_ms)) - 1]
    # Where no cap is set, a first delay that is longer than the usual cap is the longest.
    longest = max(policy.cap_ms, policy.base_ms)
    try:
        return int(min(longest, policy.base_ms * policy.factor ** (job.attempt - 1)))
    except OverflowError:
        return longest


@contextmanager
def memory_queue(app: App, *, inline: bool = False) -> Iterator[MemoryQueue]:
    """Has an app's jobs enqueued in memory for the length of the block; `inline` runs each at once."""
    queue = MemoryQueue(app, inline=inline)
    before, app.now = app.now, queue.clock.now
    try:
        with app.enqueued_in(queue):
            yield queue
    finally:
        app.now = before

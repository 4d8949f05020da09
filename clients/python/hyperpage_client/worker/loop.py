"""Claims what is due, runs it, and gives back what is left at the end: `Worker`."""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from hyperpage_client.asking.connection import Unreachable
from hyperpage_client.client import Client
from hyperpage_client.commands.jobs import Claim
from hyperpage_client.errors import Refusal
from hyperpage_client.identifiers import new_id
from hyperpage_client.tasks import cancel
from hyperpage_client.waiting import Trouble, is_set_within
from hyperpage_client.worker.attempt import HEARTBEATS_IN_A_LEASE, Attempt
from hyperpage_client.worker.handler import Handler
from hyperpage_client.worker.wake_ups import WakeUps

MAXIMUM_CONCURRENCY = 1_000
# The most jobs that the service answers a claim with.
MAXIMUM_CLAIMED = 100
# The most types that a claim names.
MAXIMUM_TYPES = 100
# The time for handlers that were told to stop, and then the time to tell the service. With the grace period
# and one unanswered claim, a stop takes less than the half minute that orchestrators wait by default.
LEAVE_SECONDS = 5.0
GIVE_BACK_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Worker:
    """Runs the jobs of a queue whose types it has handlers for; in the client's loop, run once.

    `concurrency` is how many jobs it has at a time (1 to 1,000). `lease_ms` (1,000 to 3,600,000) is how long
    the service waits for a heartbeat before another worker gets the job; three are sent in that time.
    `poll_seconds` is how often it asks for jobs that no event told of. `grace_seconds` is how long `stop`
    lets handlers go on. `name` is the worker in the rows of its jobs: by default, the host and the process.
    `version` is that of your program, for users who look at the workers.

    Raises:
        ValueError: one of these is out of bounds.
    """

    def __init__(
        self,
        client: Client,
        handlers: Mapping[str, Handler],
        *,
        queue: str = "default",
        concurrency: int = 10,
        lease_ms: int = 30_000,
        poll_seconds: float = 5.0,
        grace_seconds: float = 10.0,
        name: str | None = None,
        version: str | None = None,
    ) -> None:
        if not 1 <= concurrency <= MAXIMUM_CONCURRENCY:
            raise ValueError(f"a worker has 1 to {MAXIMUM_CONCURRENCY} jobs at a time, not {concurrency}")
        if not 1 <= len(handlers) <= MAXIMUM_TYPES:
            raise ValueError(f"a worker has handlers of 1 to {MAXIMUM_TYPES} types, not of {len(handlers)}")
        if poll_seconds <= 0 or grace_seconds < 0:
            raise ValueError("poll_seconds is more than 0, and grace_seconds not less")
        self._client = client
        self._handlers = dict(handlers)
        said = {
            "worker": name or f"{socket.gethostname()[:150]}:{os.getpid()}",
            "queue": queue,
            "types": list(handlers),
            "lease_ms": lease_ms,
            "host": socket.gethostname()[:200] or None,
            "version": version,
        }
        # The service would refuse the same; this refuses it now.
        self._claim = msgspec.convert(said, Claim)
        self._concurrency = concurrency
        self._poll_seconds = poll_seconds
        self._grace_seconds = grace_seconds
        self._attempts: dict[Attempt, asyncio.Task[None]] = {}
        # The attempts whose handlers have not ended. The others are being reported.
        self._working: set[Attempt] = set()
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._has_run = False
        self._trouble = Trouble(
            f"claiming jobs of {queue}", logger, first_pause_ms=250, longest_pause_ms=10_000
        )

    @property
    def running_jobs(self) -> list[str]:
        """The ids of the jobs that are being worked on."""
        return [attempt.job.id for attempt in self._attempts if attempt in self._working]

    async def run(self) -> None:
        """Works until `stop` is called; then every job is done or given back, if the service can be reached.

        Cancelled, it gives its jobs back without a grace period.

        Raises:
            ClosedError: the client's connection is closed.
            RuntimeError: it has been run before.
        """
        if self._has_run:
            raise RuntimeError("a worker is run once")
        self._has_run = True
        watching = asyncio.create_task(self._watch_for_standstill())
        try:
            async with WakeUps(
                self._client.connection,
                self._client.names,
                queue=self._claim.queue,
                types=self._handlers,
                poll_seconds=self._poll_seconds,
                wake=self._changed.set,
                concern=self._look_into,
            ) as wake_ups:
                await self._work(wake_ups)
                await self._finish()
        finally:
            try:
                await self._give_back()
            finally:
                await cancel(watching)

    def stop(self) -> None:
        """Has `run` end: no more claims, and handlers have the grace period, which a second call ends."""
        if self._stopping.is_set():
            self._hurrying.set()
        self._stopping.set()
        self._changed.set()

    async def _work(self, wake_ups: WakeUps) -> None:
        while not self._stopping.is_set():
            if not (room := self._room) or not wake_ups.is_due:
                self._changed.clear()
                await self._changed.wait()
                continue
            wake_ups.begin()
            asked_at = time.monotonic()
            result = await self._claimed(min(room, MAXIMUM_CLAIMED))
            for row in result["jobs"]:
                self._begin(row, asked_at)
            waits_for_ends = bool(result.get("waits_for_ends"))
            wake_ups.end(
                found=bool(result["jobs"]),
                retry_after_ms=result.get("retry_after_ms"),
                waits_for_ends=waits_for_ends,
            )
            if waits_for_ends:
                await wake_ups.hear_ends()

    @property
    def _room(self) -> int:
        """How many more jobs there is room for.

        A job makes room when its report is sent, not when that is answered: the next claim is sent behind the
        report, and decided together with it. But attempts, with those whose reports are unanswered, are at
        most twice `concurrency`: then the service has enough to do.
        """
        return min(
            self._concurrency - len(self._working), max(0, 2 * self._concurrency - len(self._attempts))
        )

    async def _claimed(self, limit: int) -> dict[str, Any]:
        """The rows of claimed `jobs`, and perhaps when to ask again.

        The claim is sent again under the same id until it is answered. If its answer were lost, no worker
        would have its jobs until their leases run out.
        """
        claim = msgspec.structs.replace(self._claim, limit=limit)
        command_id = new_id()
        while not self._stopping.is_set():
            try:
                answer = await self._client.send(claim, command_id=command_id)
            except (Refusal, Unreachable) as error:
                self._trouble.failed(error)
                await is_set_within(self._stopping, self._trouble.next_pause_ms())
            else:
                self._trouble.recovered()
                result: dict[str, Any] = answer.result
                return result
        return {"jobs": []}

    def _begin(self, row: dict[str, Any], asked_at: float) -> None:
        attempt = Attempt(
            self._client,
            row,
            self._handlers[row["type"]],
            lease_ms=self._claim.lease_ms,
            asked_at=asked_at,
            handled=self._make_room,
        )
        self._working.add(attempt)

        if self._stopping.is_set():
            # Claimed while `stop` was called: the handler does not even begin.
            attempt.stop("shutting_down")

        def ended(task: asyncio.Task[None]) -> None:
            del self._attempts[attempt]
            self._make_room(attempt)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("job %s: its lease will run out, by a defect here", row["id"], exc_info=error)

        task = self._attempts[attempt] = asyncio.create_task(attempt.run())
        task.add_done_callback(ended)

    def _make_room(self, attempt: Attempt) -> None:
        self._working.discard(attempt)
        self._changed.set()

    def _look_into(self, job_id: str) -> None:
        for attempt in self._attempts:
            if attempt.job.id == job_id:
                attempt.look()

    async def _watch_for_standstill(self) -> None:
        """Logs a warning when a handler has blocked the loop for so long that leases are in danger."""
        beat_seconds = self._claim.lease_ms / 1000 / HEARTBEATS_IN_A_LEASE
        while True:
            began = time.monotonic()
            await asyncio.sleep(beat_seconds)
            late = time.monotonic() - began - beat_seconds
            if late > beat_seconds:
                logger.warning(
                    "the event loop stood still for %.1f s, and leases of %s may be lost: a handler "
                    "blocks it, which would run in a thread as a plain function",
                    late,
                    self._claim.queue,
                )

    async def _finish(self) -> None:
        """Returns when the jobs are done, or when the grace period is over."""
        deadline = time.monotonic() + self._grace_seconds
        while self._attempts and not self._hurrying.is_set():
            left = deadline - time.monotonic()
            self._changed.clear()
            if left <= 0 or not await is_set_within(self._changed, left * 1000):
                return

    async def _give_back(self) -> None:
        """Stops the handlers that are left, and gives their jobs back to the service."""
        for attempt in self._attempts:
            attempt.stop("shutting_down")
        await self._ended_within(LEAVE_SECONDS)
        for attempt in self._attempts:
            attempt.leave_alone()
        await self._ended_within(GIVE_BACK_SECONDS)
        await asyncio.gather(*map(cancel, list(self._attempts.values())))

    async def _ended_within(self, seconds: float) -> None:
        if self._attempts:
            await asyncio.wait(list(self._attempts.values()), timeout=seconds)


async def run_workers(*workers: Worker, handle_signals: bool = True) -> None:
    """Runs workers until SIGTERM or SIGINT comes, which is passed on as `stop`, or until one of them raises.

    Called from the main thread's loop. A second signal ends the grace period. Without `handle_signals`, the
    handlers of these signals stay as they are; the workers end when `stop` is called on each.

    Raises:
        ExceptionGroup: one of them has raised, as `Worker.run` does.
    """

    def stop() -> None:
        for worker in workers:
            worker.stop()

    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT) if handle_signals else ()
    for one in signals:
        loop.add_signal_handler(one, stop)
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker.run())
    finally:
        for one in signals:
            loop.remove_signal_handler(one)

"""One attempt at a job, in a worker: its handler, its lease, its end.

claimed ──▶ handler runs ──────────────▶ ended ──▶ reported, again and again until it is answered
            │ heartbeats: the lease is lost ────▶ told to stop, and nothing is reported
            │             cancelling was asked ─▶ told to stop; `ack_cancel`
            └ the worker ends ──────────────────▶ told to stop; `interrupt`
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hyperpage_client.asking.connection import ClosedError, Unreachable
from hyperpage_client.client import Client
from hyperpage_client.commands.jobs import Fail, Heartbeat, Progress
from hyperpage_client.contract.commands import Command
from hyperpage_client.errors import (
    Busy,
    Internal,
    Invalid,
    NotFound,
    Refusal,
    RuleViolated,
    SecretRejected,
    TooLarge,
    Unavailable,
)
from hyperpage_client.identifiers import new_id
from hyperpage_client.tasks import cancel
from hyperpage_client.waiting import is_set_within
from hyperpage_client.worker.handler import (
    Ending,
    Handler,
    Raised,
    failed,
    is_coroutine_function,
    perform,
    report_of,
)
from hyperpage_client.worker.job import JobContext, JobStopped, StopReason
from hyperpage_client.worker.tracebacks import can_be_logged, frames_of

# With three in a lease, one may be lost and one late.
HEARTBEATS_IN_A_LEASE = 3
# The least time between two reports of progress: a handler may make one in every turn of a loop.
PROGRESS_SECONDS = 0.5
REPORT_PAUSE_SECONDS = 1.0
# The longest lease: after that, no report is of any use.
MAXIMUM_REPORT_SECONDS = 3_600.0

# In place of a traceback that the service refuses. A worker does not look for credentials itself: that takes
# all that the service knows of them, and the service looks in any case.
LEFT_OUT = "(left out, since it holds what looks like a credential; the worker has logged it)"

logger = logging.getLogger(__name__)


class Attempt:
    """A claimed job, from the claim to the report; used by one task, from its loop.

    `asked_at` is when its claim was first sent, by the monotonic clock: the lease lasts at least `lease_ms`
    from then on. `handled` is called when the handler has ended or is left alone, before the report is sent.
    """

    def __init__(
        self,
        client: Client,
        row: Mapping[str, Any],
        handler: Handler,
        *,
        lease_ms: int,
        asked_at: float,
        handled: Callable[["Attempt"], None],
    ) -> None:
        self._client = client
        self._handler = handler
        self._handled = handled
        self._beat_seconds = lease_ms / 1000 / HEARTBEATS_IN_A_LEASE
        self._asked_at = asked_at
        self._loop = asyncio.get_running_loop()
        self._held = {"id": row["id"], "lease": row["lease"]}
        self._handling: asyncio.Task[Ending] | None = None
        # Done when the handler has ended, or is not waited for any longer.
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._keeping: list[asyncio.Task[None]] = []
        self._look_now = asyncio.Event()
        self._progress: Progress | None = None
        self._has_progress = asyncio.Event()
        deadline = None
        if row["deadline_at"] is not None:
            # Both times are by the service's clock, so that no two clocks are compared.
            allowed_ms = row["deadline_at"] - (row["lease_expires_at"] - lease_ms)
            deadline = asked_at + allowed_ms / 1000
        self.job = JobContext(row, deadline, self._tell_progress)

    async def run(self) -> None:
        """Runs the handler; returns when the service has the report, or does not need it any more."""
        is_old = time.monotonic() - self._asked_at > self._beat_seconds
        # The claim was answered late, as after a lost answer: another worker may have the job.
        if is_old and not await self._beat():
            logger.info("job %s: its lease ran out before its claim was answered", self.job.id)
            return
        ending = await self._ending()
        report = report_of(ending, self.job)
        if report is None:
            logger.warning("job %s: its lease is lost, and what came of it is dropped", self.job.id)
            return
        # This only wakes the worker's loop, so the next claim is sent behind the report.
        self._handled(self)
        if isinstance(report, Fail):
            self._log_failure(report, ending.error if isinstance(ending, Raised) else None)
        await self._report(report)

    def stop(self, reason: StopReason) -> None:
        """Tells the handler to stop."""
        self.job.stop(reason)
        handling = self._handling
        if handling is not None and is_coroutine_function(self._handler):
            handling.cancel()

    def leave_alone(self) -> None:
        """Stops waiting for the handler: its job is given back, whatever the handler still does."""
        if not self._over.done():
            self._over.set_result(None)

    def look(self) -> None:
        """Has a heartbeat sent now, since an event says that something happened to the job."""
        self._look_now.set()
        self._begin_keeping()

    async def _ending(self) -> Ending | None:
        """How the handler ended; the lease is kept meanwhile. None if the handler is left alone."""
        if self.job.stop_reason is not None:
            # The first heartbeat told it to stop, or the worker ends: the handler does not even begin.
            return Raised(JobStopped())
        handling = self._handling = self._loop.create_task(perform(self._handler, self.job))
        handling.add_done_callback(lambda _: self.leave_alone())
        # Most handlers have ended by then. For a short one, two tasks would cost more than all the rest.
        begin = self._loop.call_later(self._beat_seconds, self._begin_keeping)
        if self._look_now.is_set():
            self._begin_keeping()
        try:
            await self._over
        finally:
            begin.cancel()
            if self._keeping:
                await asyncio.gather(*map(cancel, self._keeping))
        if not handling.done():
            return None
        # A task that was cancelled before it began has no result.
        return Raised(asyncio.CancelledError()) if handling.cancelled() else handling.result()

    def _begin_keeping(self) -> None:
        """Keeps the lease and reports progress from now on, while the handler runs."""
        if not self._keeping and self._handling is not None and not self._over.done():
            self._keeping = [
                self._loop.create_task(self._keep_lease()),
                self._loop.create_task(self._keep_informed()),
            ]

    def _tell_progress(self, progress: Progress) -> None:
        def take() -> None:
            self._progress = progress
            self._has_progress.set()
            self._begin_keeping()

        # A handler's thread may call this, too.
        self._loop.call_soon_threadsafe(take)

    async def _keep_lease(self) -> None:
        next_beat = self._asked_at + self._beat_seconds
        while True:
            left = next_beat - time.monotonic()
            await is_set_within(self._look_now, max(0.0, left) * 1000)
            self._look_now.clear()
            if not await self._beat():
                return
            next_beat = time.monotonic() + self._beat_seconds

    async def _beat(self) -> bool:
        """Renews the lease; whether the job is still this worker's, as far as the service told."""
        return await self._ask(Heartbeat(**self._held))

    async def _keep_informed(self) -> None:
        while True:
            await self._has_progress.wait()
            self._has_progress.clear()
            progress = self._progress
            if progress is not None and not await self._ask(progress):
                return
            await asyncio.sleep(PROGRESS_SECONDS)

    async def _ask(self, command: Command) -> bool:
        """Sends a heartbeat or the like; whether the job is still this worker's, by the answer."""
        try:
            answer = await self._client.send(command, timeout_seconds=self._beat_seconds)
        except (NotFound, RuleViolated) as error:
            logger.warning("job %s: %s", self.job.id, error)
            self.stop("lease_lost")
            return False
        except ClosedError:
            return False
        except (Unreachable, Busy, Unavailable) as error:
            # The lease may outlast it: a service that was away gives leases their whole length again.
            logger.info("job %s: %s", self.job.id, error)
            return True
        except Refusal as error:
            logger.warning("job %s: %s is refused: %s", self.job.id, type(command).__name__.lower(), error)
            return True
        said = answer.result if isinstance(answer.result, dict) else {}
        if said.get("cancel_requested") is True and self.job.stop_reason is None:
            self.stop("cancel_requested")
        return True

    def _log_failure(self, fail: Fail, error: BaseException | None) -> None:
        job = self.job
        level = logging.WARNING if fail.retryable and job.attempt < job.max_attempts else logging.ERROR
        raised = None
        if error is not None and can_be_logged(error):
            raised = (type(error), error, frames_of(error))
        said = (job.id, job.type, job.attempt, job.max_attempts, fail.error)
        logger.log(level, "job %s (%s): attempt %d of %d failed: %s", *said, exc_info=raised)

    async def _report(self, report: Command) -> None:
        """Sends a report; returns when the service has taken it, or does not want it any more."""
        try:
            await self._send_until_answered(report)
        except (Invalid, TooLarge, SecretRejected) as error:
            if isinstance(error, Invalid) and getattr(report, "calls", None) is not None:
                # An older service does not take the number of calls; without it, all calls count.
                await self._report(msgspec.structs.replace(report, calls=None))
            elif isinstance(report, Fail) and report.traceback not in (None, LEFT_OUT):
                # The failure is reported in any case; an older service takes no traceback at all.
                instead = LEFT_OUT if isinstance(error, SecretRejected) else None
                await self._report(msgspec.structs.replace(report, traceback=instead))
            else:
                await self._report_unfit(report, error)
        except (Refusal, ClosedError, Unreachable) as error:
            # Mostly a stale lease: another worker has the job, or will have it.
            logger.warning("job %s: what came of it is dropped: %s", self.job.id, error)

    async def _report_unfit(self, report: Command, error: Refusal) -> None:
        """Reports a failure instead: the service refused the handler's result, or the text of its error."""
        logger.warning("job %s: how it ended cannot be reported: %s", self.job.id, error)
        said = f"the {'error' if isinstance(report, Fail) else 'result'} was refused: {error.code}: {error}"
        fail = failed(self._held, said, retryable=isinstance(report, Fail) and report.retryable)
        try:
            await self._send_until_answered(fail)
        except (Refusal, ClosedError, Unreachable) as again:
            logger.warning("job %s: that could not be reported either: %s", self.job.id, again)

    async def _send_until_answered(self, command: Command) -> None:
        command_id = new_id()
        until = time.monotonic() + MAXIMUM_REPORT_SECONDS
        while True:
            try:
                await self._client.send(command, command_id=command_id)
            except (Unreachable, Busy, Unavailable, Internal) as error:
                if time.monotonic() > until:
                    raise
                logger.info("job %s: %s; reporting on", self.job.id, error)
            else:
                return
            await asyncio.sleep(REPORT_PAUSE_SECONDS)

"""The table `jobs`. Made by `make client`."""

from collections.abc import Sequence
from typing import Any, Unpack

from hyperpage_client.answers.jobs import (
    ClaimResult,
    EnqueueResult,
    HeartbeatResult,
    JobOnDependencyFailure,
    ManyResult,
    ProgressResult,
)
from hyperpage_client.commands import jobs as commands
from hyperpage_client.commands.jobs import (
    AfterGroup,
    AttemptRate,
    CallBudget,
    Concurrency,
    Debounce,
    JobFilter,
    Rate,
    RetryPolicy,
    Throttle,
    Unique,
)
from hyperpage_client.queries.jobs import JobsQueries
from hyperpage_client.queries.table import Answer, Sent


class Jobs(JobsQueries):
    """The commands and queries of `jobs`."""

    async def enqueue(
        self,
        type: str,
        *,
        name: str | None = None,
        id: str | None = None,
        priority: int = 2,
        queue: str = "default",
        payload: Any = {},
        tool: str | None = None,
        endpoint: str | None = None,
        run_at: int | None = None,
        max_attempts: int = 5,
        timeout_ms: int = 900000,
        tags: Sequence[str] = (),
        unique: Unique | None = None,
        depends_on: Sequence[str] = (),
        on_dependency_failure: JobOnDependencyFailure = "cancel",
        hold: bool = False,
        budget: CallBudget | None = None,
        retry: RetryPolicy | None = None,
        group_id: str | None = None,
        after_group: AfterGroup | None = None,
        concurrency: Concurrency | None = None,
        rate: Rate | None = None,
        debounce: Debounce | None = None,
        throttle: Throttle | None = None,
        result_ttl_ms: int | None = None,
        **about: Unpack[Sent],
    ) -> Answer[EnqueueResult | None]:
        """A new job, with a time-ordered id if none is given. Priorities: 1 low, 2 medium, 3 high, 4 critical.

        Without a `name`, the job is named after its type.

        Each attempt may take `timeout_ms` milliseconds (15 minutes by default). With `hold`, the job waits for
        `release`; with `depends_on`, until those jobs have completed. At most one of `unique`, `debounce` and
        `throttle` may be given; with them, there may be no new job, and the result then names the `existing` one.
        `retry` says when the job is tried again.

        With a `budget`, the job is claimed only while its rate limit, as it was observed, has calls left; with a
        `concurrency`, only while fewer jobs than its limit run with the same key; with a `rate`, only while fewer
        attempts than its limit began with the same key within the window. Without a key, the job's type counts.

        The job belongs to the group `group_id`. With `after_group`, it waits until all jobs of another group have
        completed or ended, or one has failed.

        With `result_ttl_ms`, the job leaves the tables that long after it has completed, as with `archive`.
        """
        command = commands.Enqueue(
            type=type,
            name=name,
            id=id,
            priority=priority,
            queue=queue,
            payload=payload,
            tool=tool,
            endpoint=endpoint,
            run_at=run_at,
            max_attempts=max_attempts,
            timeout_ms=timeout_ms,
            tags=tags,
            unique=unique,
            depends_on=depends_on,
            on_dependency_failure=on_dependency_failure,
            hold=hold,
            budget=budget,
            retry=retry,
            group_id=group_id,
            after_group=after_group,
            concurrency=concurrency,
            rate=rate,
            debounce=debounce,
            throttle=throttle,
            result_ttl_ms=result_ttl_ms,
        )
        return await self._send(command, EnqueueResult | None, about)

    async def claim(
        self,
        worker: str,
        *,
        queue: str = "default",
        types: Sequence[str] | None = None,
        limit: int = 1,
        lease_ms: int = 30000,
        host: str | None = None,
        version: str | None = None,
        **about: Unpack[Sent],
    ) -> Answer[ClaimResult]:
        """Up to `limit` due jobs of a queue for a worker, each under a lease of `lease_ms` milliseconds.

        Jobs with a budget or with limits are handed out only as far as these allow. Where some have to wait for
        calls, or for the end of a window, the result has `retry_after_ms`: it is of no use to ask for them
        earlier. Where some wait for running jobs to end, the result says so (`waits_for_ends`).

        `host` is the machine that the worker runs on, and `version` the version of its program: both are shown
        wherever workers are listed.
        """
        command = commands.Claim(
            worker=worker,
            queue=queue,
            types=types,
            limit=limit,
            lease_ms=lease_ms,
            host=host,
            version=version,
        )
        return await self._send(command, ClaimResult, about)

    async def heartbeat(
        self, id: str, lease: str, *, lease_ms: int | None = None, **about: Unpack[Sent]
    ) -> Answer[HeartbeatResult]:
        """The worker still works on the job: its lease is renewed from now on."""
        command = commands.Heartbeat(id=id, lease=lease, lease_ms=lease_ms)
        return await self._send(command, HeartbeatResult, about)

    async def progress(
        self,
        id: str,
        lease: str,
        *,
        percent: float | None = None,
        note: str | None = None,
        **about: Unpack[Sent],
    ) -> Answer[ProgressResult]:
        """How far a running job is: published at once to subscribers, and kept at most every 30 s."""
        command = commands.Progress(id=id, lease=lease, percent=percent, note=note)
        return await self._send(command, ProgressResult, about)

    async def complete(
        self, id: str, lease: str, *, result: Any = None, calls: int | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """The job is done.

        For a job with a budget, `calls` is the number of calls that the attempt made; without it, all of the
        budget's calls count as made.
        """
        command = commands.Complete(id=id, lease=lease, result=result, calls=calls)
        return await self._send(command, None, about)

    async def fail(
        self,
        id: str,
        lease: str,
        error: str,
        *,
        traceback: str | None = None,
        retryable: bool = True,
        retry_at: int | None = None,
        calls: int | None = None,
        **about: Unpack[Sent],
    ) -> Answer[None]:
        """The attempt failed; the job is retried while attempts are left, unless `retryable` is false.

        `error` says in a line or so what happened, and `traceback` where, in the form of the worker's language.
        """
        command = commands.Fail(
            id=id,
            lease=lease,
            error=error,
            traceback=traceback,
            retryable=retryable,
            retry_at=retry_at,
            calls=calls,
        )
        return await self._send(command, None, about)

    async def snooze(
        self, id: str, lease: str, run_at: int, *, calls: int | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """The worker gives the job back until `run_at`; the attempt does not count."""
        command = commands.Snooze(id=id, lease=lease, run_at=run_at, calls=calls)
        return await self._send(command, None, about)

    async def interrupt(
        self, id: str, lease: str, *, calls: int | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """The worker is shutting down and gives the job back; the attempt does not count."""
        command = commands.Interrupt(id=id, lease=lease, calls=calls)
        return await self._send(command, None, about)

    async def cancel(self, id: str, *, reason: str | None = None, **about: Unpack[Sent]) -> Answer[None]:
        """A waiting job is cancelled at once; the worker of a running one is asked to stop."""
        command = commands.Cancel(id=id, reason=reason)
        return await self._send(command, None, about)

    async def ack_cancel(
        self, id: str, lease: str, *, calls: int | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """The worker agrees to a cancellation that was asked for."""
        command = commands.AckCancel(id=id, lease=lease, calls=calls)
        return await self._send(command, None, about)

    async def retry(self, id: str, **about: Unpack[Sent]) -> Answer[None]:
        """A failed, cancelled or timed out job is due again, with at least one attempt more."""
        command = commands.Retry(id=id)
        return await self._send(command, None, about)

    async def hold(self, id: str, **about: Unpack[Sent]) -> Answer[None]:
        """A job that no worker has waits until it is released."""
        command = commands.Hold(id=id)
        return await self._send(command, None, about)

    async def release(self, id: str, **about: Unpack[Sent]) -> Answer[None]:
        """A held job goes on: it is due at its `run_at`, or at once if that has passed."""
        command = commands.Release(id=id)
        return await self._send(command, None, about)

    async def reschedule(self, id: str, run_at: int, **about: Unpack[Sent]) -> Answer[None]:
        """A job that no worker has is due at another time."""
        command = commands.Reschedule(id=id, run_at=run_at)
        return await self._send(command, None, about)

    async def reprioritize(self, id: str, priority: int, **about: Unpack[Sent]) -> Answer[None]:
        """A job that no worker has gets another priority."""
        command = commands.Reprioritize(id=id, priority=priority)
        return await self._send(command, None, about)

    async def update_payload(self, id: str, payload: Any, **about: Unpack[Sent]) -> Answer[None]:
        """A job that never began gets another payload."""
        command = commands.UpdatePayload(id=id, payload=payload)
        return await self._send(command, None, about)

    async def archive(self, id: str, **about: Unpack[Sent]) -> Answer[None]:
        """A finished job leaves the tables, with its attempts; its events stay, and its id is free again."""
        command = commands.Archive(id=id)
        return await self._send(command, None, about)

    async def cancel_many(
        self,
        filter: JobFilter,
        *,
        reason: str | None = None,
        limit: int = 100,
        dry_run: bool = False,
        **about: Unpack[Sent],
    ) -> Answer[ManyResult]:
        """Up to `limit` jobs are cancelled as by `cancel`, the oldest first; the result names them.

        The result also says how many more match (`remaining`, counted up to 10,000). With `dry_run`, nothing
        changes.
        """
        command = commands.CancelMany(filter=filter, reason=reason, limit=limit, dry_run=dry_run)
        return await self._send(command, ManyResult, about)

    async def retry_many(
        self, filter: JobFilter, *, limit: int = 100, dry_run: bool = False, **about: Unpack[Sent]
    ) -> Answer[ManyResult]:
        """Up to `limit` unsuccessful jobs are retried as by `retry`, the oldest first; the result names them.

        Jobs that depend on a failed one cannot be retried, and are named as `skipped`. The result also says how
        many more match (`remaining`, counted up to 10,000). With `dry_run`, nothing changes.
        """
        command = commands.RetryMany(filter=filter, limit=limit, dry_run=dry_run)
        return await self._send(command, ManyResult, about)

    async def pause_queue(
        self, queue: str, *, reason: str | None = None, **about: Unpack[Sent]
    ) -> Answer[None]:
        """No job of the queue is handed out until it is resumed."""
        command = commands.PauseQueue(queue=queue, reason=reason)
        return await self._send(command, None, about)

    async def resume_queue(self, queue: str, **about: Unpack[Sent]) -> Answer[None]:
        """Jobs of the queue are handed out again."""
        command = commands.ResumeQueue(queue=queue)
        return await self._send(command, None, about)

    async def limit_queue(
        self,
        queue: str,
        *,
        concurrency: int | None = None,
        rate: AttemptRate | None = None,
        **about: Unpack[Sent],
    ) -> Answer[None]:
        """The limits of the queue from now on; a limit that is left out, or null, does not apply.

        At most `concurrency` of its jobs run at once, and at most `limit` attempts begin within `window_ms`
        milliseconds, counted from now on if the window is another one than before.
        """
        command = commands.LimitQueue(queue=queue, concurrency=concurrency, rate=rate)
        return await self._send(command, None, about)

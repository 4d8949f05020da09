"""The queries of `jobs`. Made by `make client`."""

from collections.abc import AsyncIterator
from typing import Literal

from hyperpage_client.answers.jobs import (
    AwaitedJob,
    CountedValue,
    GroupedCount,
    GroupProgress,
    JobAttemptRow,
    JobRow,
    JobState,
    JobStatus,
    JobSummary,
    RunningJob,
    Statistics,
    Throughput,
    WholeJobRow,
    Workers,
)
from hyperpage_client.answers.shared import Count
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.queries.table import ANSWER_SECONDS, Table, given


class JobsQueries(Table):
    """The queries of `jobs`."""

    async def get(self, id: str, *, timeout_seconds: float = ANSWER_SECONDS) -> WholeJobRow:
        """One job."""
        return await self._ask("jobs.get", given(id=id), WholeJobRow, timeout_seconds)

    def list(
        self,
        *,
        status: JobStatus | None = None,
        state: JobState | None = None,
        type: str | None = None,
        queue: str | None = None,
        tool: str | None = None,
        worker: str | None = None,
        tag: str | None = None,
        text: str | None = None,
        unique_key: str | None = None,
        schedule_id: str | None = None,
        created_from: int | None = None,
        created_until: int | None = None,
        run_from: int | None = None,
        run_until: int | None = None,
        completed_from: int | None = None,
        completed_until: int | None = None,
        group_id: str | None = None,
        concurrency_key: str | None = None,
        limit: int = 100,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> AsyncIterator[JobRow]:
        """Jobs that match the filters, in the order of their ids."""
        return self._items(
            "jobs.list",
            given(
                status=status,
                state=state,
                type=type,
                queue=queue,
                tool=tool,
                worker=worker,
                tag=tag,
                text=text,
                unique_key=unique_key,
                schedule_id=schedule_id,
                created_from=created_from,
                created_until=created_until,
                run_from=run_from,
                run_until=run_until,
                completed_from=completed_from,
                completed_until=completed_until,
                group_id=group_id,
                concurrency_key=concurrency_key,
                limit=limit,
            ),
            JobRow,
            timeout_seconds,
        )

    async def count(
        self,
        *,
        status: JobStatus | None = None,
        state: JobState | None = None,
        type: str | None = None,
        queue: str | None = None,
        tool: str | None = None,
        worker: str | None = None,
        tag: str | None = None,
        text: str | None = None,
        unique_key: str | None = None,
        schedule_id: str | None = None,
        created_from: int | None = None,
        created_until: int | None = None,
        run_from: int | None = None,
        run_until: int | None = None,
        completed_from: int | None = None,
        completed_until: int | None = None,
        group_id: str | None = None,
        concurrency_key: str | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> int:
        """How many jobs match the filters and, with `by`, how many of them have each value of that column."""
        return (
            await self._ask(
                "jobs.count",
                given(
                    status=status,
                    state=state,
                    type=type,
                    queue=queue,
                    tool=tool,
                    worker=worker,
                    tag=tag,
                    text=text,
                    unique_key=unique_key,
                    schedule_id=schedule_id,
                    created_from=created_from,
                    created_until=created_until,
                    run_from=run_from,
                    run_until=run_until,
                    completed_from=completed_from,
                    completed_until=completed_until,
                    group_id=group_id,
                    concurrency_key=concurrency_key,
                ),
                Count,
                timeout_seconds,
            )
        ).count

    async def count_by(
        self,
        by: Literal["status", "state", "type", "queue", "tool", "worker", "group_id"],
        *,
        status: JobStatus | None = None,
        state: JobState | None = None,
        type: str | None = None,
        queue: str | None = None,
        tool: str | None = None,
        worker: str | None = None,
        tag: str | None = None,
        text: str | None = None,
        unique_key: str | None = None,
        schedule_id: str | None = None,
        created_from: int | None = None,
        created_until: int | None = None,
        run_from: int | None = None,
        run_until: int | None = None,
        completed_from: int | None = None,
        completed_until: int | None = None,
        group_id: str | None = None,
        concurrency_key: str | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> tuple[CountedValue, ...]:
        """How many rows have each value of a column, the most frequent first, 1,000 at most."""
        asked = given(
            by=by,
            status=status,
            state=state,
            type=type,
            queue=queue,
            tool=tool,
            worker=worker,
            tag=tag,
            text=text,
            unique_key=unique_key,
            schedule_id=schedule_id,
            created_from=created_from,
            created_until=created_until,
            run_from=run_from,
            run_until=run_until,
            completed_from=completed_from,
            completed_until=completed_until,
            group_id=group_id,
            concurrency_key=concurrency_key,
        )
        answer = await self._ask("jobs.count", asked, GroupedCount, timeout_seconds)
        return answer.groups or ()

    def history(
        self, id: str, *, after: int = 0, limit: int = 100, timeout_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[ChangeEvent]:
        """The events of one stream, a page at a time."""
        return self._items(
            "jobs.history", given(id=id, after=after, limit=limit), ChangeEvent, timeout_seconds
        )

    async def as_of(
        self,
        id: str,
        *,
        position: int | None = None,
        time: int | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> WholeJobRow:
        """One row as it was at a position or a time."""
        return await self._ask(
            "jobs.as_of", given(id=id, position=position, time=time), WholeJobRow, timeout_seconds
        )

    def browse(
        self,
        *,
        state: JobState | None = None,
        type: str | None = None,
        queue: str | None = None,
        tool: str | None = None,
        tag: str | None = None,
        text: str | None = None,
        group_id: str | None = None,
        limit: int = 100,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> AsyncIterator[JobSummary]:
        """Jobs that match the filters, the newest first: finished ones by their end, others by their creation.

        Large columns are left out or cut: there is no payload and no result, only the beginning of an error, and
        only the end of a traceback of Python.
        """
        return self._items(
            "jobs.browse",
            given(
                state=state,
                type=type,
                queue=queue,
                tool=tool,
                tag=tag,
                text=text,
                group_id=group_id,
                limit=limit,
            ),
            JobSummary,
            timeout_seconds,
        )

    def attempts(
        self, id: str, *, limit: int = 100, timeout_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[JobAttemptRow]:
        """The attempts of a job, the first one first; with `after`, the `next` of the page before."""
        return self._items("jobs.attempts", given(id=id, limit=limit), JobAttemptRow, timeout_seconds)

    async def group(self, group_id: str, *, timeout_seconds: float = ANSWER_SECONDS) -> GroupProgress:
        """The progress of a group of jobs: how many are in each state, and how many of all have ended.

        Archived jobs do not count. A group without jobs is empty.
        """
        return await self._ask("jobs.group", given(group_id=group_id), GroupProgress, timeout_seconds)

    async def stats(
        self,
        *,
        queue: str | None = None,
        window_ms: int = 3600000,
        until: int | None = None,
        percentiles: bool = True,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> Statistics:
        """Figures of the queues: jobs by state, overdue jobs, and the attempts of the last `window_ms`.

        The window ends at `until`, in milliseconds since the epoch, or now. Without `percentiles`, which take
        longest where many attempts ended, `wait_ms` and `run_ms` are null.
        """
        return await self._ask(
            "jobs.stats",
            given(queue=queue, window_ms=window_ms, until=until, percentiles=percentiles),
            Statistics,
            timeout_seconds,
        )

    async def throughput(
        self,
        *,
        queue: str | None = None,
        window_ms: int = 3600000,
        parts: int = 60,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> Throughput:
        """The attempts that ended in the last `window_ms` until now, in `parts` of the same length."""
        return await self._ask(
            "jobs.throughput",
            given(queue=queue, window_ms=window_ms, parts=parts),
            Throughput,
            timeout_seconds,
        )

    async def workers(
        self, *, worker: str | None = None, window_ms: int = 3600000, timeout_seconds: float = ANSWER_SECONDS
    ) -> Workers:
        """The workers: the jobs that each one has now, and its attempts that ended in the last `window_ms`."""
        return await self._ask(
            "jobs.workers", given(worker=worker, window_ms=window_ms), Workers, timeout_seconds
        )

    def running(
        self, *, worker: str | None = None, limit: int = 100, timeout_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[RunningJob]:
        """The jobs that workers have now, and when their leases end; the attempt that began first comes first."""
        return self._items("jobs.running", given(worker=worker, limit=limit), RunningJob, timeout_seconds)

    async def await_(
        self, id: str, *, timeout_ms: int = 3000, timeout_seconds: float = ANSWER_SECONDS
    ) -> AwaitedJob:
        """A job as soon as it has ended, or as it is when `timeout_ms` are over.

        The client must wait for the answer for longer than `timeout_ms`.
        """
        return await self._ask("jobs.await", given(id=id, timeout_ms=timeout_ms), AwaitedJob, timeout_seconds)

"""A worker for jobs: claims what is due, runs a handler for each, and tells the service how it went.

    async def sync(job: JobContext) -> object:
        job.progress(50, "half of the pages")
        return {"changed": 7}

    async with connect("nats://…") as client:
        await run_workers(Worker(client, {"sync": sync}, queue="default", concurrency=10))

`async def` handlers run in the loop, which they must not block; plain functions run in threads. What a
handler raises ends its attempt, never the worker; `job` says how to fail for good, or to snooze.

    run ─▶ claim ─▶ attempts, `concurrency` of them at once ─▶ claim …     woken by events, and by a slow poll
    stop ─▶ no more claims ─▶ a grace period ─▶ handlers are told to stop ─▶ what is left is given back

A job may run twice: a worker that was away for longer than a lease has lost its jobs to other workers.

loop        claims what is due, and gives back what is left at the end
attempt     one attempt at a job
handler     the functions that do the work
job         a job as its handler sees it
tracebacks  the tracebacks of handlers that failed
wake_ups    when to claim
"""

from hyperpage_client.worker.handler import Handler
from hyperpage_client.worker.job import JobContext, JobFailed, JobSnoozed, JobStopped, StopReason
from hyperpage_client.worker.loop import MAXIMUM_TYPES, Worker, run_workers

__all__ = [
    "MAXIMUM_TYPES",
    "Handler",
    "JobContext",
    "JobFailed",
    "JobSnoozed",
    "JobStopped",
    "StopReason",
    "Worker",
    "run_workers",
]

"""Cases about workers: jobs are claimed, kept, done, given back. A handler does what its payload says."""

import json
from typing import Any

from hyperpage_client.answers.jobs import JobRow
from hyperpage_client.contract.headers import COMMAND_ID
from hyperpage_client.errors import Refusal
from hyperpage_client.testing.client_conformance.case import Group
from hyperpage_client.testing.client_conformance.expecting import equal, true
from hyperpage_client.testing.client_conformance.setting import Driven, Follower, Setting
from hyperpage_client.testing.client_conformance.subjects import command
from hyperpage_client.testing.client_conformance.wire import AnswerChanged, Swallowed

WORKERS = Group("Workers", "work")

CLAIM, COMPLETE, HEARTBEAT = command("jobs.claim"), command("jobs.complete"), command("jobs.heartbeat")
REPORTS = [command(f"jobs.{verb}") for verb in ("complete", "fail", "snooze", "interrupt", "ack_cancel")]
# The shortest lease that a worker may ask for, and one that no case outlasts.
SHORT_LEASE_MS, LONG_LEASE_MS = 1_000, 60_000
# Long enough for three heartbeats on a busy machine.
KEPT_LEASE_MS = 5_000
TYPE = "conformance"


async def enqueued(at: Setting, ending: str = "job", *, then: str, **payload: Any) -> str:
    """The id of a job in the case's own queue; its handler does what `then` says."""
    look = await at.look()
    job = at.key(ending)
    await look.jobs.enqueue(TYPE, id=job, queue=at.key("queue"), payload={"then": then, **payload})
    return job


async def at_work(at: Setting, client: Driven, **options: Any) -> Follower:
    """A worker of the case's own queue."""
    said = {"queue": at.key("queue"), "types": [TYPE], "lease_ms": LONG_LEASE_MS, "concurrency": 4, **options}
    return await client.begins("work", **said)


async def ended(at: Setting, job: str, state: str) -> JobRow:
    """The row of a job once it is in that state."""
    look = await at.look()

    async def found() -> JobRow | None:
        try:
            row = await look.jobs.get(job)
        except Refusal:
            return None
        return row if row.state == state else None

    row: JobRow = await at.until(f"the job is {state}", found)
    return row


@WORKERS.case(
    "a job is done, and its result is kept",
    "Claim under a lease, do the work, and report what came of it with `jobs.complete`.",
)
async def done(at: Setting) -> None:
    client = await at.connect()
    worker = await at_work(at, client)
    job = await enqueued(at, then="return", value={"pages": [1, None, "漢"]})
    began = await worker.next("began")
    equal("what it began", began, {"job": job, "attempt": 1})
    row = await ended(at, job, "completed")
    equal("the result", row.result, {"pages": [1, None, "漢"]})


@WORKERS.case(
    "a handler that raises has failed, and is tried again",
    "Report whatever a handler raises with `jobs.fail`: its text, and where it happened.",
)
async def raises(at: Setting) -> None:
    client = await at.connect()
    await at_work(at, client)
    job = await enqueued(at, then="raise", error="the page is gone")
    row = await ended(at, job, "retrying")
    true("the error tells what was raised", "the page is gone" in (row.error or ""), came=row.error)


@WORKERS.case(
    "a handler may fail for good",
    "Let a handler say that another attempt would not help: `retryable` is false then.",
)
async def fails_for_good(at: Setting) -> None:
    client = await at.connect()
    await at_work(at, client)
    job = await enqueued(at, then="fail", error="404 Not Found", retryable=False)
    row = await ended(at, job, "failed")
    true("the error is the handler's", "404 Not Found" in (row.error or ""), came=row.error)


@WORKERS.case(
    "a handler may put a job off",
    "Let a handler snooze its job until a time; the attempt does not count.",
)
async def snoozes(at: Setting) -> None:
    client = await at.connect()
    await at_work(at, client)
    look = await at.look()
    job = await enqueued(at, "first", then="return", value=0)
    first = await ended(at, job, "completed")
    job = await enqueued(at, then="snooze", until=first.updated_at + 1_500)
    row = await ended(at, job, "completed")
    equal("the attempts that count", row.attempt, 1)
    types = [event.type async for event in look.history("jobs", id=job)]
    true("it was snoozed", "job.snoozed.v1" in types, came=types)


@WORKERS.case(
    "a lease is kept as long as the handler goes on",
    "Renew a lease with `jobs.heartbeat` three times in its length, for as long as the handler is at it.",
)
async def keeps_its_lease(at: Setting) -> None:
    client = await at.connect()
    await at_work(at, client, lease_ms=KEPT_LEASE_MS)
    job = await enqueued(at, then="wait", ms=KEPT_LEASE_MS + 1_000, value="done")
    row = await ended(at, job, "completed")
    equal("attempt and result", [row.attempt, row.result], [1, "done"])


@WORKERS.case(
    "a handler is told that its job is to be cancelled",
    "Read `cancel_requested` in the answer to a heartbeat; have the handler stop, and say `jobs.ack_cancel`.",
)
async def cancelled(at: Setting) -> None:
    client = await at.connect()
    worker = await at_work(at, client, lease_ms=KEPT_LEASE_MS)
    job = await enqueued(at, then="wait")
    await worker.next("began")
    look = await at.look()
    await look.jobs.cancel(job)
    equal("why it stopped", await worker.next("stopped"), {"job": job, "reason": "cancel_requested"})
    await ended(at, job, "cancelled")


@WORKERS.case(
    "who has lost its lease stops, and reports nothing",
    "Have the handler stop where a heartbeat is refused (`stale_lease`): somebody else may have the job.",
)
async def lease_lost(at: Setting) -> None:
    client = await at.connect()
    worker = await at_work(at, client, lease_ms=SHORT_LEASE_MS, concurrency=1)
    job = await enqueued(at, then="wait")
    await worker.next("began")
    silence = at.wire.disturb(Swallowed(HEARTBEAT, 1_000))
    look = await at.look()

    async def is_free() -> bool:
        return (await look.jobs.get(job)).state != "running"

    await at.until("the lease runs out", is_free)
    # So that it is not claimed again, which would be another attempt.
    await look.jobs.hold(job)
    silence.end()
    equal("why it stopped", await worker.next("stopped"), {"job": job, "reason": "lease_lost"})
    other = await enqueued(at, "other", then="return", value=1)
    await ended(at, other, "completed")
    reported = [one.message.subject for subject in REPORTS for one in at.wire.sent_to(subject)]
    equal("what was reported", reported, [COMPLETE])


@WORKERS.case(
    "a worker that ends gives its jobs back",
    "When told to stop, claim no more, have handlers stop, and say `jobs.interrupt`.",
)
async def gives_back(at: Setting) -> None:
    client = await at.connect()
    worker = await at_work(at, client)
    job = await enqueued(at, then="wait")
    await worker.next("began")
    await client.stop(worker)
    equal("why it stopped", await worker.next("stopped"), {"job": job, "reason": "shutting_down"})
    look = await at.look()
    row = await look.jobs.get(job)
    equal("its state and the attempts that count", [row.state, row.attempt], ["pending", 0])


@WORKERS.case(
    "a claim whose answer is lost loses no job",
    "Ask again for a claim under its id: under another one, its jobs would be nobody's for a lease.",
)
async def lost_claim(at: Setting) -> None:
    client = await at.connect()
    job = await enqueued(at, then="return", value=1)
    at.wire.disturb(AnswerChanged(CLAIM, 1, lambda _: None))
    await at_work(at, client)
    row = await ended(at, job, "completed")
    equal("the attempts", row.attempt, 1)


@WORKERS.case(
    "a report whose answer is lost is sent again, under the same id",
    "Report under one id until it is answered: under another one, the report would be refused as stale.",
)
async def lost_report(at: Setting) -> None:
    client = await at.connect()
    at.wire.disturb(AnswerChanged(COMPLETE, 1, lambda _: None))
    await at_work(at, client)
    job = await enqueued(at, then="return", value=1)
    await ended(at, job, "completed")
    await at.until("it is reported again", lambda: len(at.wire.sent_to(COMPLETE)) > 1)
    ids = {one.message.headers.get(COMMAND_ID) for one in at.wire.sent_to(COMPLETE)}
    equal("how many ids were used", len(ids), 1)


@WORKERS.case(
    "a worker has no more jobs at once than it may",
    "Claim as many jobs as there is room for, and no more.",
)
async def concurrency(at: Setting) -> None:
    client = await at.connect()
    jobs = [await enqueued(at, ending, then="wait") for ending in "abc"]
    worker = await at_work(at, client, concurrency=2, lease_ms=KEPT_LEASE_MS)
    began = [(await worker.next("began"))["job"] for _ in range(2)]
    equal("the first two", sorted(began), jobs[:2])
    look = await at.look()
    equal("how many run", await look.count("jobs", queue=at.key("queue"), state="running"), 2)
    limits = [json.loads(one.message.body).get("limit", 1) for one in at.wire.sent_to(CLAIM)]
    true("it never asked for more than two", max(limits) <= 2, came=limits)
    await look.jobs.cancel(jobs[0])
    await ended(at, jobs[2], "running")


@WORKERS.case(
    "a worker takes the jobs that it has handlers for",
    "Claim by the types of your handlers: others may have a worker of their own.",
)
async def types(at: Setting) -> None:
    client = await at.connect()
    look = await at.look()
    await look.jobs.enqueue("of-somebody-else", id=at.key("other"), queue=at.key("queue"), priority=4)
    job = await enqueued(at, then="return", value=1)
    await at_work(at, client)
    await ended(at, job, "completed")
    equal("the other's state", (await look.jobs.get(at.key("other"))).state, "pending")


@WORKERS.case(
    "a job outlives a `kill -9` of the service",
    "Go on with the work while the service is away, and report until it is answered.",
    service="killed",
)
async def killed(at: Setting) -> None:
    client = await at.connect()
    worker = await at_work(at, client)
    job = await enqueued(at, then="wait", ms=200, value="done")
    await worker.next("began")
    await at.kill_and_start()
    row = await ended(at, job, "completed")
    equal("attempt and result", [row.attempt, row.result], [1, "done"])

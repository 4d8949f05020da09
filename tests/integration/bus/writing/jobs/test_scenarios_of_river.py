"""Scenarios about limits from River's own tests, in the verbs of this service.

River makes a key of its `UniqueOpts` (kind, arguments, queue, period); here, the caller writes the key. Its
states are scopes: those it takes by default are `successful`. Its `MaxWorkers` is how much a worker asks for,
or, of all workers together, the limit of a queue.
"""

from typing import Any

import pytest

from tests.support.clock import DAY_MS, HOUR_MS, MINUTE_MS
from tests.support.jobs.one_queue import OneQueue

SECOND_MS = 1_000


def unique(key: str = "k", **more: Any) -> dict[str, Any]:
    return {"unique": {"key": key, "scope": "successful"} | more}


def lock(limit: int = 1) -> dict[str, Any]:
    return {"concurrency": {"key": "k", "limit": limit}}


def end(queue: OneQueue, how: str) -> None:
    """Job `a` comes to an end."""
    if how == "cancelled while it waits":
        queue.send("cancel", "a")
        return
    queue.claim()
    match how:
        case "completed":
            queue.end("a")
        case "discarded":
            queue.end("a", "fail", error="x", retryable=False)
        case "cancelled while it runs":
            queue.send("cancel", "a")
            queue.end("a", "ack_cancel")


@pytest.mark.parametrize(
    ("how", "stands"),
    [
        ("completed", True),
        ("discarded", False),
        ("cancelled while it waits", False),
        ("cancelled while it runs", False),
    ],
)
def test_by_its_default_states_a_completed_job_stands_in_the_way_and_no_unsuccessful_one(
    queue: OneQueue, how: str, stands: bool
):
    """TestUniqueStatesToBitmask, JobCancelErrorCancelsJobEvenWithRemainingAttempts."""
    queue.enqueue("a", **unique())
    end(queue, how)
    assert queue.enqueue("b", **unique()) == ("a" if stands else "b")


def test_a_running_job_that_was_asked_to_stop_stands_in_the_way_until_it_has(queue: OneQueue):
    """RunningJobIsNotImmediatelyCancelled."""
    queue.enqueue("a", **unique())
    queue.claim()
    queue.send("cancel", "a")
    assert queue.enqueue("b", **unique()) == "a"
    queue.end("a", "ack_cancel")
    assert queue.enqueue("c", **unique()) == "c"


def test_within_a_period_there_is_one_job_and_it_begins_with_that_job(queue: OneQueue):
    """DeduplicatesJobs: there, periods begin with the hour or the day; here, with the job that is there."""
    assert queue.enqueue("a", **unique(window_ms=DAY_MS)) == "a"
    queue.later(DAY_MS - 1)
    assert queue.enqueue("b", **unique(window_ms=DAY_MS)) == "a"
    queue.later(1)
    assert queue.enqueue("c", **unique(window_ms=DAY_MS)) == "c"


def test_of_many_at_once_each_is_told_whether_it_was_there(queue: OneQueue):
    """JobInsertFastMany, UniqueConflict: the others are inserted."""
    keys = ("k", "l", "k", "m", "k")
    jobs = [queue.enqueueing(f"j{place}", **unique(key)) for place, key in enumerate(keys)]
    outcomes = queue.store.send_batch(*jobs).outcomes
    assert [queue.existing(one) for one in outcomes] == [None, None, "j0", None, "j0"]


def test_a_job_that_is_tried_again_may_meet_a_newer_one_and_neither_is_discarded(queue: OneQueue):
    """JobSchedule, HandlesUniqueConflicts: there, the older one is discarded when it is due; here, both run.

    One after the other, where a limit says so.
    """
    shared = unique(scope="waiting") | lock() | {"retry": {"delays_ms": [MINUTE_MS]}}
    queue.enqueue("a", **shared)
    queue.claim()
    assert queue.enqueue("b", **shared) == "b"
    queue.end("a", "fail", error="x")
    assert queue.claim() == ["b"]
    queue.later(MINUTE_MS)
    assert queue.claim() == []
    queue.end("b")
    assert queue.claim() == ["a"]


def test_a_snooze_costs_no_attempt_makes_room_and_changes_no_delay(queue: OneQueue):
    """JobSnoozeErrorReschedulesJobAndDecrementsAttempt, and the delays, which know of no snooze."""
    queue.enqueue("a", retry={"delays_ms": [SECOND_MS, HOUR_MS]}, **lock())
    queue.enqueue("b", **lock())
    assert queue.claim() == ["a"]
    queue.end("a", "snooze", run_at=queue.now + 30 * MINUTE_MS)
    row = queue.row("a")
    assert (row["state"], row["attempt"], row["run_at"]) == ("scheduled", 0, queue.now + 30 * MINUTE_MS)
    assert queue.claim() == ["b"]
    queue.end("b")
    queue.later(30 * MINUTE_MS)
    assert queue.claim() == ["a"]
    queue.end("a", "fail", error="x")
    assert queue.row("a")["run_at"] == queue.now + SECOND_MS


def test_a_job_that_is_snoozed_for_no_time_is_there_at_once(queue: OneQueue):
    """JobSnoozeWithZeroDurationSetsAvailableImmediately."""
    queue.enqueue("a")
    queue.claim()
    queue.end("a", "snooze", run_at=queue.now)
    assert queue.claim() == ["a"]


def test_a_snoozed_attempt_has_begun_as_far_as_rates_go(queue: OneQueue):
    """Not tested there, and asked by its users: a snooze is no way round a rate."""
    rate = {"rate": {"key": "k", "limit": 1, "window_ms": MINUTE_MS}}
    queue.enqueue("a", **rate)
    queue.claim()
    queue.end("a", "snooze", run_at=queue.now)
    assert queue.claim() == []
    assert queue.said == {"retry_after_ms": MINUTE_MS}
    queue.later(MINUTE_MS)
    assert queue.claim() == ["a"]


def test_the_delays_of_its_own_policy_are_a_list_here(queue: OneQueue):
    """TestRetrySecondsWithoutJitter: the fourth power of the attempt, in seconds, until it is the last."""
    powers = [attempt**4 * SECOND_MS for attempt in range(1, 6)]
    queue.enqueue("a", max_attempts=6, retry={"delays_ms": powers})
    waits = []
    while queue.claim() == ["a"]:
        queue.end("a", "fail", error="x")
        waits.append(queue.row("a")["run_at"] - queue.now)
        queue.later(max(waits[-1], 0))
    assert waits[:5] == powers
    assert queue.state("a") == "failed"


def test_a_worker_says_when_and_a_time_that_has_passed_is_now(queue: OneQueue):
    """ErrorWithCustomNextRetryReturnedFromWorker, InvalidNextRetryAt: there, the policy decides instead."""
    queue.enqueue("a")
    queue.claim()
    queue.end("a", "fail", error="x", retry_at=queue.now + HOUR_MS)
    assert queue.row("a")["run_at"] == queue.now + HOUR_MS
    queue.later(HOUR_MS)
    queue.claim()
    queue.end("a", "fail", error="x", retry_at=1)
    assert queue.claim() == ["a"]


@pytest.mark.parametrize(
    ("asked_to_stop", "attempts", "state"),
    [(False, 5, "retrying"), (False, 1, "failed"), (True, 5, "cancelled")],
)
def test_a_stuck_job_is_tried_again_discarded_or_cancelled_and_makes_room(
    queue: OneQueue, asked_to_stop: bool, attempts: int, state: str
):
    """RescuesStuckJobs: there, being stuck costs an attempt; here, with `crashes_count`."""
    queue.enqueue("a", max_attempts=attempts, retry={"crashes_count": True}, **lock())
    queue.enqueue("b", **lock())
    queue.claim(lease_ms=MINUTE_MS)
    if asked_to_stop:
        queue.send("cancel", "a")
    queue.later(MINUTE_MS)
    queue.send("rescue", "a")
    assert (queue.state("a"), queue.row("a")["attempt"]) == (state, 1)
    assert queue.claim() == ["b"]


def test_no_more_jobs_of_a_queue_run_than_it_allows_however_many_workers_ask(queue: OneQueue):
    """MaxWorkers: there, of one client; here, of all of them, and it may change while jobs run."""
    for number in range(6):
        queue.enqueue(f"j{number}")
    queue.limit(concurrency=3)
    assert queue.claim(limit=2, worker="w1") == ["j0", "j1"]
    assert queue.claim(limit=2, worker="w2") == ["j2"]
    queue.limit(concurrency=1)
    queue.end("j0")
    assert queue.claim() == [], "two run still"
    queue.limit(concurrency=4)
    assert queue.claim() == ["j3", "j4"]
    queue.limit()
    assert queue.claim() == ["j5"]


def test_a_job_that_waits_is_there_at_once_if_somebody_wants_it(queue: OneQueue):
    """JobRetry: of a scheduled job, and of one that is to be tried again; here, it is another time for it."""
    queue.enqueue("scheduled", run_at=queue.now + DAY_MS)
    queue.enqueue("retrying", retry={"delays_ms": [DAY_MS]})
    queue.claim()
    queue.end("retrying", "fail", error="x")
    for job in ("scheduled", "retrying"):
        refused = queue.send("retry", job)
        assert refused["error"]["details"]["rule"] == "not_retryable"
        assert "reschedule" in refused["error"]["hint"]
        assert queue.send("reschedule", job, run_at=0).code is None
    assert queue.claim() == ["scheduled", "retrying"]


def test_the_jobs_of_a_schedule_are_one_while_it_is_unfinished(queue: OneQueue):
    """RespectsJobUniqueness; Procrastinate's test_defer_jobs_queueing_lock with the scope `waiting`."""
    job = {"type": queue.name, "name": "n", "queue": queue.name}
    schedules = {"incomplete": f"{queue.name}-i", "waiting": f"{queue.name}-w"}
    for scope, schedule in schedules.items():
        said = {"id": schedule, "every_ms": SECOND_MS, "job": job | {"unique": {"scope": scope}}}
        assert queue.store.send("schedules.set", said).code is None

    def tick() -> list[Any]:
        """The types of the events of both schedules when they run the next time."""
        queue.later(SECOND_MS)
        return [queue.store.send("schedules.run", {"id": one})["events"][-1] for one in schedules.values()]

    ran, skipped = "schedule.ran.v1", "schedule.skipped.v1"
    assert tick() == [ran, ran]
    assert tick() == [skipped, skipped]
    assert len(queue.claim()) == 2
    assert tick() == [skipped, ran]
    assert tick() == [skipped, skipped]

"""Scenarios about limits from Procrastinate's own tests, in the verbs of this service.

Its `lock` is a `concurrency` with a limit of 1, its `queueing_lock` the scope `waiting` with `reject` (or
`return_existing`, where the caller would ignore an `AlreadyEnqueued`).
"""

from typing import Any

from tests.support.clock import DAY_MS, MINUTE_MS
from tests.support.jobs.one_queue import OneQueue

SECOND_MS = 1_000


def lock(key: str) -> dict[str, Any]:
    return {"concurrency": {"key": key, "limit": 1}}


def queueing_lock(key: str, on_conflict: str = "reject") -> dict[str, Any]:
    return {"unique": {"key": key, "scope": "waiting", "on_conflict": on_conflict}}


def waits_after_failures(queue: OneQueue, times: int) -> list[int]:
    """How long a job waits after each of its attempts has failed."""
    waits = []
    for _ in range(times):
        assert queue.claim() == ["a"]
        queue.end("a", "fail", error="x")
        waits.append(queue.row("a")["run_at"] - queue.now)
        queue.later(waits[-1])
    return waits


def test_a_job_whose_lock_another_one_has_is_not_fetched(queue: OneQueue):
    """test_fetch_job_not_fetching_locked_job, test_lock: at any priority; a job without a lock is fetched."""
    queue.enqueue("a", priority=1, **lock("k"))
    queue.enqueue("none")
    assert queue.claim() == ["none", "a"]
    queue.enqueue("b", priority=4, **lock("k"))
    queue.enqueue("none-2")
    assert queue.claim() == ["none-2"]
    queue.end("a")
    assert queue.claim() == ["b"]


def test_a_job_that_was_asked_to_stop_has_its_lock_until_it_stops(queue: OneQueue):
    """test_fetch_job_respect_lock_aborting_job."""
    queue.enqueue("a", **lock("k"))
    queue.enqueue("b", **lock("k"))
    queue.claim()
    assert queue.send("cancel", "a").code is None
    assert queue.claim() == []
    queue.end("a", "ack_cancel")
    assert queue.claim() == ["b"]


def test_of_one_lock_the_higher_priority_goes_first_then_the_older_job(queue: OneQueue):
    """test_priority_order and the guide to locks."""
    for job, priority in (("low", 1), ("older", 3), ("newer", 3)):
        queue.enqueue(job, priority=priority, **lock("k"))
    order = []
    while claimed := queue.claim():
        order += claimed
        queue.end(claimed[0])
    assert order == ["older", "newer", "low"]


def test_a_job_that_is_not_due_holds_up_nobody_who_has_its_lock(queue: OneQueue):
    """Of the guide to locks, the opposite: there, those behind one with `scheduled_at` wait for it."""
    queue.enqueue("a", run_at=queue.now + DAY_MS, **lock("k"))
    queue.enqueue("b", **lock("k"))
    assert queue.claim() == ["b"]


def test_a_lock_whose_job_is_in_a_queue_that_nobody_asks_holds_up_nobody(queue: OneQueue):
    """Of the guide to locks, the opposite again: only what runs holds a lock."""
    queue.enqueue("a", **lock("k") | {"queue": f"{queue.name}-deserted"})
    queue.enqueue("b", **lock("k"))
    assert queue.claim() == ["b"]


def test_of_a_queueing_lock_one_job_waits_and_who_comes_next_is_told(queue: OneQueue):
    """test_queueing_lock: the caller chooses whether it is an error; other locks are not affected."""
    assert queue.enqueue("a", **queueing_lock("k")) == "a"
    assert queue.enqueue("b", **queueing_lock("l")) == "b"
    [refused] = queue.store.send_together(queue.enqueueing("c", **queueing_lock("k")))
    assert refused["error"]["details"]["rule"] == "not_unique"
    assert queue.enqueue("c", **queueing_lock("k", "return_existing")) == "a"


def test_of_a_queueing_lock_one_may_wait_while_others_run(queue: OneQueue):
    """The guide to queueing locks: many are `doing`, one is `todo`; together with a lock, one is doing."""
    for job in "ab":
        assert queue.enqueue(job, **queueing_lock("k")) == job
        assert queue.claim() == [job]
    for job in "cd":
        assert queue.enqueue(job, **queueing_lock("l"), **lock("l")) == job
        assert queue.claim() == (["c"] if job == "c" else [])


def test_a_batch_that_meets_its_own_queueing_lock_enqueues_nothing(queue: OneQueue):
    """test_batch_defer_jobs_violate_queueing_lock: of an atomic batch."""
    jobs = [queue.enqueueing(job, **queueing_lock("k")) for job in "ab"]
    assert queue.store.send_batch(*jobs, atomic=True)["error"]["details"]["rule"] == "not_unique"
    assert queue.claim() == []


def test_waits_are_constant_linear_or_exponential(queue: OneQueue):
    """test_get_retry_decision: what grows by a sum is a list here."""
    constant = {"base_ms": 5_000, "factor": 1, "jitter": 0}
    linear = {"delays_ms": [7_000 * number for number in range(1, 5)]}
    exponential = {"base_ms": 2_000, "factor": 2, "jitter": 0}
    waits = {}
    for name, retry in (("constant", constant), ("linear", linear), ("exponential", exponential)):
        own = OneQueue(queue.store, f"{queue.name}-{name}")
        own.enqueue("a", retry=retry)
        waits[name] = waits_after_failures(own, 4)
    assert waits == {
        "constant": [5_000] * 4,
        "linear": [7_000, 14_000, 21_000, 28_000],
        "exponential": [2_000, 4_000, 8_000, 16_000],
    }


def test_what_grows_beyond_all_bounds_is_bounded(queue: OneQueue):
    """test_get_retry_decision_does_not_overflow."""
    month_ms = 31 * DAY_MS
    retry = {"base_ms": month_ms, "factor": 10, "cap_ms": month_ms, "jitter": 0}
    queue.enqueue("a", retry=retry, max_attempts=1_000)
    assert waits_after_failures(queue, 3) == [month_ms] * 3


def test_of_some_errors_a_job_is_not_tried_again(queue: OneQueue):
    """test_non_retry_exception: here, the worker says of which."""
    queue.enqueue("a")
    queue.enqueue("b", retry={"delays_ms": [0]})
    queue.claim()
    queue.end("a", "fail", error="KeyError", retryable=False)
    queue.end("b", "fail", error="ValueError")
    assert (queue.state("a"), queue.claim()) == ("failed", ["b"])


def test_a_job_that_fails_after_it_was_asked_to_stop_is_not_tried_again(queue: OneQueue):
    """test_retry_when_aborting."""
    queue.enqueue("a", **lock("k"))
    queue.enqueue("b", **lock("k"))
    queue.claim()
    queue.send("cancel", "a")
    queue.end("a", "fail", error="ValueError")
    assert (queue.state("a"), queue.row("a")["attempt"]) == ("failed", 1)
    assert queue.claim() == ["b"]


def test_a_worker_that_shuts_down_gives_its_jobs_back_and_their_locks(queue: OneQueue):
    """test_stop_worker_retries_…_past_shutdown_graceful_timeout: here, it costs no attempt."""
    queue.enqueue("a", max_attempts=1, **lock("k"))
    queue.enqueue("b", **lock("k"))
    queue.claim()
    queue.end("a", "interrupt")
    assert queue.row("a")["attempt"] == 0
    assert queue.claim() == ["a"], "it is due since before the other one"


def test_a_stalled_job_holds_its_lock_until_it_is_rescued(queue: OneQueue):
    """test_get_stalled_jobs_by_heartbeat: here, the service finds them by itself."""
    queue.enqueue("a", **lock("k"))
    queue.enqueue("b", **lock("k"))
    queue.claim(lease_ms=MINUTE_MS)
    queue.later(MINUTE_MS - 1)
    queue.send("rescue", "a")
    assert (queue.state("a"), queue.claim()) == ("running", [])
    queue.later(1)
    queue.send("rescue", "a")
    assert (queue.state("a"), queue.claim()) == ("retrying", ["b"])

"""Scenarios about limits from Oban's own tests and guides, in the verbs of this service.

Oban makes a key of a job's `fields` and `keys`; here, the caller writes the key. Its groups of states are
scopes (`scheduled` is `waiting`). Oban Pro's limits by partition are keys of `concurrency` and `rate`; of
those, only the guides are public.
"""

from typing import Any

import pytest

from tests.support.clock import HOUR_MS, MINUTE_MS
from tests.support.jobs.one_queue import OneQueue

SECOND_MS = 1_000


def unique(**more: Any) -> dict[str, Any]:
    return {"unique": {"key": "k"} | more}


@pytest.mark.parametrize("seconds", [240, 300, 540])
def test_a_period_is_over_when_it_is_as_long_ago(queue: OneQueue, seconds: int):
    """`scoping uniqueness by period`: one second less and one more than so long ago; without one, ever."""
    queue.enqueue("a", **unique())
    queue.later(seconds * SECOND_MS)
    assert queue.enqueue("b", **unique()) == "a"
    assert queue.enqueue("c", **unique(window_ms=(seconds + 1) * SECOND_MS)) == "a"
    assert queue.enqueue("d", **unique(window_ms=(seconds - 1) * SECOND_MS)) == "d"


@pytest.mark.parametrize(
    ("state", "scopes"),
    [
        ("scheduled", {"waiting", "incomplete", "successful", "all"}),
        ("executing", {"incomplete", "successful", "all"}),
        ("completed", {"successful", "all"}),
        ("discarded", {"all"}),
    ],
)
def test_the_states_that_stand_in_the_way_are_those_that_the_new_job_names(
    queue: OneQueue, state: str, scopes: set[str]
):
    """`scoping uniqueness by state`, with its groups of states."""
    queue.enqueue("a", **unique())
    if state != "scheduled":
        queue.claim()
    if state == "completed":
        queue.end("a")
    if state == "discarded":
        queue.end("a", "fail", error="x", retryable=False)
    found = {
        scope
        for scope in ("waiting", "incomplete", "successful", "all")
        # No job is left: it is refused if another one conflicts with it, and undone if none does.
        if is_refused(queue, **unique(scope=scope, on_conflict="reject"))
    }
    assert found == scopes


def is_refused(queue: OneQueue, **body: Any) -> bool:
    """Whether a job would be refused as not unique; the batch fails anyway, so nothing is enqueued."""
    nobody = queue.enqueueing("nobody", depends_on=["is-not-there"])
    reply = queue.store.send_batch(queue.enqueueing("b", **body), nobody, atomic=True)
    return str(reply["error"]["details"]["rule"]) == "not_unique"


def test_what_is_inserted_at_the_same_time_is_one_job(queue: OneQueue):
    """`preventing duplicate jobs between processes`."""
    replies = queue.store.send_together(*(queue.enqueueing(job, **unique()) for job in "abc"))
    assert [queue.existing(one) for one in replies] == [None, "a", "a"]


def test_a_conflict_replaces_what_is_scheduled_and_nothing_of_what_runs(queue: OneQueue):
    """`replacing fields on unique conflict`, `… based on job state`: here, as a whole."""
    replace = unique(on_conflict="replace")
    queue.enqueue("a", priority=3, run_at=queue.now + 4 * SECOND_MS, **replace)
    assert queue.enqueue("b", priority=2, run_at=queue.now + 5 * SECOND_MS, **replace) == "a"
    row = queue.row("a")
    assert (row["priority"], row["run_at"]) == (2, queue.now + 5 * SECOND_MS)
    queue.later(5 * SECOND_MS)
    queue.claim()
    assert queue.enqueue("c", priority=4, **replace) == "a"
    assert queue.row("a")["priority"] == 2


def test_retrying_gives_what_was_discarded_one_attempt_more_and_leaves_what_runs_alone(queue: OneQueue):
    """`retrying jobs from multiple states`: there, what completed runs again, too."""
    for job in ("discarded", "executing", "completed"):
        queue.enqueue(job, max_attempts=1)
    queue.claim()
    queue.end("discarded", "fail", error="x")
    queue.end("completed")
    assert queue.send("retry", "discarded").code is None
    row = queue.row("discarded")
    assert (row["state"], row["max_attempts"]) == ("pending", 2)
    for job in ("executing", "completed"):
        assert queue.send("retry", job)["error"]["details"]["rule"] == "not_retryable"


def test_each_partition_has_its_limit_for_all_workers_together(queue: OneQueue):
    """Pro, `global_limit` with `partition`: beside the limit of the whole queue."""
    queue.limit(concurrency=3)
    for number in range(3):
        for tenant in "xyz":
            queue.enqueue(f"{tenant}{number}", concurrency={"key": tenant, "limit": 2})
    assert queue.claim(limit=2, worker="w1") == ["x0", "y0"]
    assert queue.claim(worker="w2") == ["z0"], "three run: that is the queue's"
    queue.limit()
    assert sorted(queue.claim()) == ["x1", "y1", "z1"]
    queue.end("x0")
    assert queue.claim() == ["x2"]


def test_each_partition_has_its_rate_and_what_is_tried_again_counts(queue: OneQueue):
    """Pro, `rate_limit` with `partition`: so many jobs of each begin in a period, over any part of it."""
    for number in range(3):
        for tenant in "xy":
            rate = {"key": tenant, "limit": 2, "window_ms": MINUTE_MS}
            queue.enqueue(f"{tenant}{number}", rate=rate, retry={"delays_ms": [SECOND_MS]})
    assert queue.claim(limit=1) == ["x0"]
    queue.end("x0", "fail", error="x")
    queue.later(MINUTE_MS // 2)
    # The one to be tried again is behind those that were due before it.
    assert queue.claim() == ["y0", "x1", "y1"]
    assert queue.claim() == []
    assert queue.said == {"retry_after_ms": MINUTE_MS // 2}
    queue.later(MINUTE_MS // 2)
    assert queue.claim() == ["x2"]
    queue.later(MINUTE_MS // 2)
    assert queue.claim() == ["y2", "x0"]


def test_a_limit_that_changes_counts_what_runs_and_began_already(queue: OneQueue):
    """Pro, `scale_queue` while jobs run: nothing that runs is stopped, and nothing is counted twice."""
    for number in range(8):
        queue.enqueue(f"j{number}")
    queue.limit(rate={"limit": 3, "window_ms": HOUR_MS})
    assert queue.claim() == ["j0", "j1", "j2"]
    queue.limit(concurrency=4, rate={"limit": 5, "window_ms": HOUR_MS})
    assert queue.claim() == ["j3"]
    queue.end("j0")
    assert queue.claim() == ["j4"]
    queue.end("j1")
    assert queue.claim() == [], "five have begun within the hour"
    queue.limit(concurrency=4)
    assert queue.claim() == ["j5"]

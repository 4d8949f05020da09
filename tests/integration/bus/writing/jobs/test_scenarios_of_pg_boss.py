"""Scenarios about limits from pg-boss's own tests, in the verbs of this service.

Its `singletonKey` is the key of `unique`, `throttle` or `concurrency` here. Its policies belong to a queue;
here, each job has its own: `short` is the scope `waiting`, `exclusive` the scope `incomplete`, `singleton` a
`concurrency` of 1, `stately` the first and the third together. Its groups are keys of `concurrency`, and
their tiers are limits.
"""

from typing import Any

import pytest

from tests.support.clock import MINUTE_MS
from tests.support.jobs.one_queue import OneQueue

SECOND_MS = 1_000
SHORT = {"unique": {"key": "k", "scope": "waiting"}}
EXCLUSIVE = {"unique": {"key": "k"}}
LATER_AGAIN = {"retry": {"delays_ms": [SECOND_MS]}}


def lock(key: str, limit: int = 1) -> dict[str, Any]:
    return {"concurrency": {"key": key, "limit": limit}}


def test_throttled_there_is_one_job_in_a_window_and_one_that_completed_counts(queue: OneQueue):
    """throttleTest: of those within `singletonSeconds`, the first is the only one, also once it is done."""
    throttle = {"throttle": {"key": "k", "window_ms": 300 * SECOND_MS}}
    assert queue.enqueue("a", **throttle) == "a"
    queue.later(100 * SECOND_MS)
    assert queue.enqueue("b", **throttle) == "a"
    queue.claim()
    queue.end("a")
    assert queue.enqueue("c", **throttle) == "a"
    queue.later(200 * SECOND_MS)
    assert queue.enqueue("d", **throttle) == "d"


def test_short_one_job_waits_and_however_many_run(queue: OneQueue):
    """queuePolicyTest, `short`: the next one is let in as soon as a worker has the first."""
    assert queue.enqueue("a", **SHORT) == "a"
    assert queue.enqueue("b", **SHORT) == "a"
    assert queue.enqueue("other", unique=SHORT["unique"] | {"key": "l"}) == "other"
    assert queue.claim(limit=1) == ["a"]
    assert queue.enqueue("c", **SHORT) == "c"
    assert queue.enqueue("d", **SHORT) == "c"
    assert queue.claim() == ["other", "c"]


def test_singleton_one_job_of_a_queue_runs(queue: OneQueue):
    """queuePolicyTest, `singleton`: the second is had once the first has completed."""
    queue.limit(concurrency=1)
    queue.enqueue("a")
    queue.enqueue("b")
    assert queue.claim() == ["a"]
    assert queue.claim() == []
    assert queue.said == {"waits_for_ends": True}
    queue.end("a")
    assert queue.claim() == ["b"]


def test_singleton_by_key_a_batch_has_one_job_of_each_key(queue: OneQueue):
    """queuePolicyTest and concurrencyGroupTest: of four jobs with three keys, a batch of four has three."""
    for job, key in (("none", "none"), ("a1", "a"), ("a2", "a"), ("b", "b")):
        queue.enqueue(job, **lock(key))
    assert sorted(queue.claim(limit=4)) == ["a1", "b", "none"]
    for job in ("none", "a1", "b"):
        queue.end(job)
    assert queue.claim() == ["a2"]


def test_a_key_that_is_blocked_blocks_no_other_at_once(queue: OneQueue):
    """queuePolicyTest: there, a fetch may be empty first, until upkeep has found the blocked key out."""
    queue.enqueue("a1", **lock("a"))
    assert queue.claim() == ["a1"]
    queue.enqueue("a2", **lock("a"))
    queue.enqueue("b", **lock("b"))
    assert queue.claim(limit=1) == ["b"]


def test_exclusive_one_job_is_unfinished_be_it_waiting_running_or_to_be_tried_again(queue: OneQueue):
    """queuePolicyTest, `exclusive`: the next one is let in once the first has failed for good."""
    assert queue.enqueue("a", max_attempts=2, **EXCLUSIVE, **LATER_AGAIN) == "a"
    assert queue.enqueue("b", **EXCLUSIVE) == "a"
    queue.claim()
    assert queue.enqueue("c", **EXCLUSIVE) == "a"
    queue.end("a", "fail", error="x")
    assert queue.state("a") == "retrying"
    assert queue.enqueue("d", **EXCLUSIVE) == "a"
    queue.later(SECOND_MS)
    queue.claim()
    queue.end("a", "fail", error="x")
    assert queue.enqueue("e", **EXCLUSIVE) == "e"


def test_stately_one_job_waits_and_one_runs(queue: OneQueue):
    """queuePolicyTest, `stately`: one in each state. Here, one to be tried again is one that waits."""
    stately = SHORT | lock("k")
    assert queue.enqueue("a", **stately, **LATER_AGAIN) == "a"
    assert queue.claim() == ["a"]
    assert queue.enqueue("b", **stately) == "b"
    assert queue.enqueue("c", **stately) == "b"
    assert queue.claim() == []
    queue.end("a", "fail", error="x")
    assert queue.claim() == ["b"]
    queue.later(SECOND_MS)
    assert queue.claim() == []
    assert queue.enqueue("d", **stately) == "a", "there, it would be one more"
    queue.end("b")
    assert queue.claim() == ["a"]


def test_in_strict_order_what_failed_holds_up_those_behind_it_until_it_is_retried(queue: OneQueue):
    """keyStrictFifoTest: here, a job names the one before it, and a key's lock does not keep the order."""
    for key in "xy":
        queue.enqueue(f"{key}1", max_attempts=2, **LATER_AGAIN)
        queue.enqueue(f"{key}2", depends_on=[f"{key}1"], on_dependency_failure="wait")
    assert queue.claim() == ["x1", "y1"]
    queue.end("x1", "fail", error="x")
    assert (queue.state("x1"), queue.state("x2")) == ("retrying", "blocked")
    queue.later(SECOND_MS)
    assert queue.claim() == ["x1"]
    queue.end("x1", "fail", error="x")
    assert (queue.state("x1"), queue.state("x2")) == ("failed", "blocked")
    assert queue.claim() == []
    queue.end("y1")
    assert queue.claim() == ["y2"], "other keys go on"
    assert queue.send("retry", "x1").code is None
    assert queue.claim() == ["x1"]
    queue.end("x1")
    assert queue.claim() == ["x2"]


def test_by_key_alone_one_that_is_to_be_tried_again_lets_the_next_one_go(queue: OneQueue):
    """keyStrictFifoTest says the opposite; a lock here is for jobs that run."""
    queue.enqueue("a", **lock("k"), **LATER_AGAIN)
    queue.enqueue("b", **lock("k"))
    assert queue.claim() == ["a"]
    queue.end("a", "fail", error="x")
    assert queue.claim() == ["b"]


def test_groups_have_limits_of_their_own_by_tier_and_those_without_have_none(queue: OneQueue):
    """concurrencyGroupTest: a batch takes what each group has room for, beside what runs already."""
    vip, usual = {"key": "vip", "limit": 3}, {"key": "usual", "limit": 1}
    full = {"key": "full", "limit": 3}
    for number in range(3):
        queue.enqueue(f"full-runs-{number}", concurrency=full)
    queue.enqueue("vip-runs", concurrency=vip)
    assert len(queue.claim()) == 4
    for number in range(3):
        queue.enqueue(f"full-{number}", concurrency=full)
        queue.enqueue(f"vip-{number}", concurrency=vip)
        queue.enqueue(f"usual-{number}", concurrency=usual)
        queue.enqueue(f"none-{number}")
    assert sorted(queue.claim(limit=20)) == ["none-0", "none-1", "none-2", "usual-0", "vip-0", "vip-1"]
    assert queue.row("vip-2")["attempt"] == 0, "what is held up was no attempt"


def test_a_full_group_in_front_does_not_hold_up_one_behind_it(queue: OneQueue):
    """concurrencyGroupTest: found there as a fault once, since the limit of a fetch was taken first."""
    for number in range(6):
        queue.enqueue(f"full-{number}", **lock("full"))
    assert queue.claim(limit=1) == ["full-0"]
    queue.enqueue("free", **lock("free"))
    assert queue.claim(limit=1) == ["free"]


def test_an_upsert_replaces_what_waits_under_its_id_and_enqueues_anew_what_runs(queue: OneQueue):
    """upsertTest: what runs is as it was."""
    upsert = {"unique": {"key": "k", "scope": "waiting", "on_conflict": "replace"}}
    assert queue.enqueue("a", payload={"v": 1}, **upsert) == "a"
    assert queue.enqueue("b", payload={"v": 2}, **upsert) == "a"
    assert queue.claim() == ["a"]
    assert queue.enqueue("c", payload={"v": 3}, **upsert) == "c"
    assert [queue.row(job)["payload"] for job in "ac"] == ['{"v":2}', '{"v":3}']


def test_an_exclusive_upsert_changes_nothing_while_one_runs(queue: OneQueue):
    """upsertTest: the same on an exclusive queue."""
    upsert = {"unique": {"key": "k", "on_conflict": "replace"}}
    queue.enqueue("a", payload={"v": 1}, **upsert)
    queue.claim()
    assert queue.enqueue("b", payload={"v": 2}, **upsert) == "a"
    assert queue.row("a")["payload"] == '{"v":1}'


def test_delays_grow_up_to_the_longest(queue: OneQueue):
    """retryTest: `retryBackoff` with `retryDelay` and `retryDelayMax`."""
    queue.enqueue("a", retry={"base_ms": SECOND_MS, "cap_ms": 3 * SECOND_MS, "jitter": 0})
    waits = []
    for _ in range(4):
        assert queue.claim() == ["a"]
        queue.end("a", "fail", error="x")
        waits.append(queue.row("a")["run_at"] - queue.now)
        queue.later(waits[-1] - 1)
        assert queue.claim() == []
        queue.later(1)
    assert waits == [1_000, 2_000, 3_000, 3_000]


def test_what_failed_for_good_is_retried_by_hand_with_one_attempt_more(queue: OneQueue):
    """retryTest: it is no longer one that has ended, so that no pruning takes it."""
    queue.enqueue("a", max_attempts=1)
    queue.claim()
    queue.end("a", "fail", error="x")
    assert queue.row("a")["completed_at"] is not None
    assert queue.send("retry", "a").code is None
    row = queue.row("a")
    assert (row["state"], row["max_attempts"], row["completed_at"]) == ("pending", 2, None)


@pytest.mark.parametrize("verb", ["time_out", "rescue"])
def test_what_took_too_long_or_lost_its_worker_makes_room_for_the_next_of_its_key(queue: OneQueue, verb: str):
    """expireTest and heartbeats: it is tried again, behind those that came meanwhile."""
    queue.enqueue("a", timeout_ms=MINUTE_MS, **lock("k"))
    queue.enqueue("b", **lock("k"))
    assert queue.claim(lease_ms=MINUTE_MS) == ["a"]
    # Deadlines do not count for 30 s after a start.
    queue.later(MINUTE_MS + 30 * SECOND_MS)
    assert queue.claim() == []
    assert queue.send(verb, "a").code is None
    assert queue.state("a") == "retrying"
    assert queue.claim() == ["b"]

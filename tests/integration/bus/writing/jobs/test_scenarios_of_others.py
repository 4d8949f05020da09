"""Scenarios about limits from the tests of Graphile Worker and Hatchet, in the verbs of this service.

Graphile Worker's `jobKey` is the key of `unique`, and its modes are `on_conflict`. Hatchet's
`GROUP_ROUND_ROBIN` is a `concurrency`, whose keys take turns.
"""

from typing import Any

from tests.support.clock import DAY_MS, MINUTE_MS
from tests.support.jobs.one_queue import OneQueue
from tests.support.stores.writing import Sent

SECOND_MS = 1_000


def job_key(mode: str = "replace") -> dict[str, Any]:
    return {"unique": {"key": "k", "scope": "waiting", "on_conflict": mode}}


def test_the_modes_of_a_job_key_replace_all_all_but_the_time_or_nothing(queue: OneQueue):
    """Graphile Worker, `supports the jobKey API with jobKeyMode`: the last is its `unsafe_dedupe`."""
    first, second = queue.now + DAY_MS, queue.now + 2 * DAY_MS
    seen = []
    for mode, number, run_at in (
        ("replace", 1, first),
        ("preserve_run_at", 2, second),
        ("return_existing", 3, second),
        ("replace", 4, second),
    ):
        assert queue.enqueue(f"j{number}", payload={"a": number}, run_at=run_at, **job_key(mode)) == "j1"
        row = queue.row("j1")
        seen.append((row["payload"], row["run_at"]))
    assert seen == [('{"a":1}', first), ('{"a":2}', first), ('{"a":2}', first), ('{"a":4}', second)]


def test_what_is_not_said_anew_is_as_of_any_new_job(queue: OneQueue):
    """Graphile Worker, `job details are reset if not specified in update`."""
    said = {"payload": {"a": 1}, "run_at": queue.now + DAY_MS, "max_attempts": 10, "priority": 4}
    queue.enqueue("a", **said, **job_key())
    queue.enqueue("b", **job_key())
    row = queue.row("a")
    values = (row["payload"], row["run_at"], row["max_attempts"], row["priority"])
    assert values == ("{}", queue.now, 5, 2)


def test_a_key_whose_job_has_ended_or_runs_is_that_of_a_new_one(queue: OneQueue):
    """Graphile Worker, `schedules a new job if existing is completed`, `… is being processed`."""
    queue.enqueue("a", **job_key())
    queue.claim()
    assert queue.enqueue("b", **job_key()) == "b"
    queue.end("a")
    assert queue.claim() == ["b"]
    queue.end("b")
    assert queue.enqueue("c", **job_key()) == "c"


def test_a_job_that_is_to_be_tried_again_is_not_replaced(queue: OneQueue):
    """Graphile Worker, `… is pending retry`, the opposite: what a worker has seen stays as it is.

    It stands in the way all the same, and can be brought forward.
    """
    queue.enqueue("a", payload={"a": 1}, retry={"delays_ms": [DAY_MS]}, **job_key())
    queue.claim()
    queue.end("a", "fail", error="x")
    assert queue.enqueue("b", payload={"a": 2}, **job_key()) == "a"
    assert (queue.row("a")["payload"], queue.claim()) == ('{"a":1}', [])
    assert queue.send("reschedule", "a", run_at=0).code is None
    assert queue.claim() == ["a"]


def test_a_queue_of_one_runs_its_jobs_in_order_whoever_asks(queue: OneQueue):
    """Graphile Worker, `jobs added to the same queue will be ran serially`."""
    queue.limit(concurrency=1)
    for number in range(5):
        queue.enqueue(f"j{number}")
    order = []
    for worker in ("w1", "w2", "w3", "w1", "w2"):
        [job] = queue.claim(worker=worker)
        assert queue.claim(worker="w4") == []
        queue.end(job)
        order.append(job)
    assert order == ["j0", "j1", "j2", "j3", "j4"]


def test_groups_take_turns_within_their_limits_and_priorities_come_first(queue: OneQueue):
    """Hatchet, `TestConcurrency_GroupRoundRobin`, `TestGroupRoundRobin_FillsFreeCapacityByPriority`."""
    for key in "xy":
        for number in range(4):
            queue.enqueue(f"{key}{number}", concurrency={"key": key, "limit": 3})
    queue.enqueue("urgent", priority=4, concurrency={"key": "y", "limit": 3})
    assert queue.claim(limit=5) == ["urgent", "x0", "y0", "x1", "y1"]
    assert queue.claim() == ["x2"]


def test_a_newcomer_is_turned_away_while_one_runs(queue: OneQueue):
    """Hatchet, `TestCancelNewest_AtCapacityRejectsNewcomerProtectsRunning`, of one at a time."""
    reject = {"unique": {"key": "k", "on_conflict": "reject"}}
    queue.enqueue("a", **reject)
    queue.claim()
    [refused] = queue.store.send_together(queue.enqueueing("b", **reject))
    assert refused["error"]["details"] == {
        "rule": "not_unique", "existing": f"{queue.name}-a", "state": "running",
    }  # fmt: skip
    queue.end("a")
    assert queue.enqueue("c", **reject) == "c"


def test_a_newcomer_takes_the_place_of_what_runs_once_that_has_stopped(queue: OneQueue):
    """Hatchet, `TestCancelInProgress_NewerArrivalPreemptsOldestRunning`: in one atomic batch.

    There, the new one begins at once; here, its limit holds it up until the other one has agreed, or its
    lease is over.
    """
    newest = {"tags": [f"{queue.name}-newest"], "concurrency": {"key": "k", "limit": 1}}
    others = Sent("jobs.cancel_many", {"filter": {"tag": f"{queue.name}-newest"}, "limit": 1_000})
    for job in "abc":
        reply = queue.store.send_batch(others, queue.enqueueing(job, **newest), atomic=True)
        assert reply.outcomes[1]["events"] == ["job.enqueued.v1"]
        if job == "a":
            assert queue.claim(lease_ms=MINUTE_MS) == ["a"]
    assert (queue.state("a"), queue.state("b"), queue.state("c")) == ("running", "cancelled", "pending")
    assert queue.claim() == []
    queue.later(MINUTE_MS)
    queue.send("rescue", "a")
    assert (queue.state("a"), queue.claim()) == ("cancelled", ["c"])


def test_a_job_has_a_key_for_its_turn_another_for_its_rate_and_its_queue_has_both_too(queue: OneQueue):
    """Hatchet, `TestConcurrency_MultipleStrategiesContention`: here, a key of each kind."""
    queue.limit(concurrency=3)
    for number, (tenant, digit) in enumerate([("x", "1"), ("x", "2"), ("y", "1"), ("y", "2"), ("z", "3")]):
        queue.enqueue(
            f"j{number}",
            concurrency={"key": tenant, "limit": 1},
            rate={"key": f"digit-{digit}", "limit": 1, "window_ms": SECOND_MS},
        )
    assert queue.claim() == ["j0", "j3", "j4"], "no tenant twice, no digit twice"
    queue.end("j0")
    queue.end("j3")
    assert queue.claim() == [], "their digits have had their turn"
    queue.later(SECOND_MS)
    assert queue.claim() == ["j1", "j2"]

"""Jobs with limits, as people use them: what a worker gets, what it is told, what one enqueueing does."""

from typing import Any

import pytest

from domain.jobs.events import Replaced
from domain.queues import Limited, QueueRate
from tests.support.clock import NOW
from tests.support.domain.indexed_story import IndexedStory

SECOND_MS = 1_000


def story(*bodies: dict[str, Any]) -> IndexedStory:
    """Jobs `a`, `b`, `c` … in this order."""
    told = IndexedStory()
    for job_id, body in zip("abcdefgh", bodies, strict=False):
        told.when("jobs.enqueue", **({"id": job_id, "type": "sync"} | body))
        assert told.refusal is None
    return told


def claim(told: IndexedStory, limit: int = 10, **body: Any) -> list[str]:
    told.when("jobs.claim", worker="w", limit=limit, **body)
    told.settle()
    return list(told.decision.leases)


def said(told: IndexedStory) -> dict[str, Any]:
    """The result of the last claim, without its jobs."""
    result: dict[str, Any] = told.decision.result(lambda *_: b"{}")
    return {name: value for name, value in result.items() if name != "jobs"}


def end(told: IndexedStory, job_id: str, verb: str = "complete", **body: Any) -> None:
    told.when(f"jobs.{verb}", id=job_id, lease=told.leases[job_id].token, **body)
    assert told.refusal is None


def of_key(key: str | None, limit: int | None = None) -> dict[str, Any]:
    return {"concurrency": {"key": key, "limit": limit}}


def test_no_more_jobs_of_a_key_run_at_once_than_each_of_them_allows():
    told = story(of_key("a", 2), of_key("a", 2), of_key("a", 2), of_key("b", 1), {})
    assert claim(told) == ["a", "d", "e", "b"]
    assert said(told) == {"waits_for_ends": True}
    end(told, "b")
    assert claim(told) == ["c"]
    assert said(told) == {}


def test_jobs_of_one_key_in_different_queues_and_of_different_types_count_together():
    told = story(of_key("a", 1), of_key("a", 1) | {"queue": "other", "type": "mail"})
    assert claim(told) == ["a"]
    assert claim(told, queue="other") == []
    end(told, "a")
    assert claim(told, queue="other") == ["b"]


def test_without_a_key_jobs_of_one_type_count_together():
    told = story(of_key(None, 1), of_key(None, 1), of_key(None, 1) | {"type": "mail"})
    assert claim(told) == ["a", "c"]
    assert told.state("jobs", "b").concurrency.key == "sync"


def test_each_job_has_a_limit_of_its_own_and_those_without_one_count_too():
    told = story(of_key("a"), of_key("a", 1), of_key("a", 2))
    assert claim(told, 1) == ["a"]
    assert claim(told) == ["c"], "the first one runs: that is one too many for b"


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("fail", {"error": "x", "retryable": False}),
        ("fail", {"error": "x", "retry_at": NOW + 60 * SECOND_MS}),
        ("snooze", {"run_at": NOW + 60 * SECOND_MS}),
    ],
)
def test_however_an_attempt_ends_its_place_is_free(verb: str, body: dict[str, Any]):
    told = story(of_key("a", 1), of_key("a", 1))
    assert claim(told) == ["a"]
    end(told, "a", verb, **body)
    assert claim(told) == ["b"]


def test_a_worker_that_was_lost_frees_its_place_when_its_job_is_rescued():
    told = story(of_key("a", 1), of_key("a", 1))
    claim(told, lease_ms=SECOND_MS)
    told.later(SECOND_MS)
    assert claim(told) == []
    told.when("jobs.rescue", id="a")
    assert claim(told) == ["b"]


def test_one_by_one_jobs_of_a_key_run_in_the_order_of_their_enqueueing():
    told = story(*[of_key("lock", 1)] * 3)
    order = []
    while claimed := claim(told):
        order += claimed
        end(told, claimed[0])
    assert order == ["a", "b", "c"]


def test_no_more_attempts_begin_within_a_window_than_a_rate_allows():
    rate = {"rate": {"key": "api", "limit": 2, "window_ms": 10 * SECOND_MS}}
    told = story(rate, rate, rate, rate, {})
    assert claim(told, 1) == ["a"]
    told.later(4 * SECOND_MS)
    assert claim(told) == ["b", "e"]
    assert said(told) == {"retry_after_ms": 6 * SECOND_MS}
    end(told, "a")
    assert claim(told) == [], "that an attempt has ended changes nothing"
    told.later(6 * SECOND_MS)
    assert claim(told) == ["c"]
    assert said(told) == {"retry_after_ms": 4 * SECOND_MS}


def test_begins_count_after_the_store_was_opened_again_also_of_jobs_that_were_archived():
    rate = {"rate": {"limit": 1, "window_ms": 10 * SECOND_MS}}
    told = story(rate, rate)
    assert claim(told) == ["a"]
    end(told, "a")
    told.when("jobs.archive", id="a")
    told.settle()
    told.reopened()
    assert claim(told) == []
    assert said(told) == {"retry_after_ms": 10 * SECOND_MS}


def test_rates_of_other_windows_are_counted_apart():
    told = story(
        {"rate": {"key": "api", "limit": 1, "window_ms": SECOND_MS}},
        {"rate": {"key": "api", "limit": 1, "window_ms": 2 * SECOND_MS}},
    )
    assert claim(told) == ["a", "b"]


def test_a_queue_has_limits_for_all_of_its_jobs():
    told = story(*[{}] * 4)
    told.when("jobs.limit_queue", queue="default", concurrency=3).then(Limited(concurrency=3))
    assert claim(told, 2) == ["a", "b"]
    assert claim(told) == ["c"]
    assert said(told) == {"waits_for_ends": True}
    told.when("jobs.limit_queue", queue="default", concurrency=3).then_nothing()
    told.when("jobs.pause_queue", queue="default").when("jobs.resume_queue", queue="default")
    assert claim(told) == [], "its limits stay"
    told.when("jobs.limit_queue", queue="default").then(Limited())
    assert claim(told) == ["d"]


def test_attempts_of_a_queue_begin_at_its_rate():
    told = story(*[{}] * 3)
    rate = {"limit": 2, "window_ms": SECOND_MS}
    told.when("jobs.limit_queue", queue="default", rate=rate).then(
        Limited(rate=QueueRate(limit=2, window_ms=SECOND_MS))
    )
    assert claim(told) == ["a", "b"]
    assert said(told) == {"retry_after_ms": SECOND_MS}
    told.reopened()
    assert claim(told) == []
    told.later(SECOND_MS)
    assert claim(told) == ["c"]
    assert said(told) == {}


def test_jobs_of_a_schedule_have_limits_too():
    job = {"type": "sync", "name": "n"} | of_key(None, 1) | {"rate": {"limit": 5, "window_ms": SECOND_MS}}
    told = IndexedStory()
    told.when("schedules.set", id="s", every_ms=SECOND_MS, job=job)
    told.when("schedules.trigger", id="s").when("schedules.trigger", id="s")
    (claimed,) = claim(told)
    assert told.state("jobs", claimed).rate.key == "sync"


def enqueue(told: IndexedStory, job_id: str, **body: Any) -> str:
    """The id of the job that exists after the enqueueing."""
    told.when("jobs.enqueue", id=job_id, type="sync", **body)
    assert told.refusal is None
    result = told.result
    return result["existing"] if result else job_id


def test_what_is_debounced_runs_once_after_nothing_came_for_a_while_with_what_came_last():
    told = IndexedStory()
    debounce = {"key": "page-7", "wait_ms": 5 * SECOND_MS}
    assert enqueue(told, "a", debounce=debounce, payload={"n": 1}) == "a"
    told.later(3 * SECOND_MS)
    assert enqueue(told, "b", debounce=debounce, payload={"n": 2}) == "a"
    assert isinstance(told.decision.events[0][1], Replaced)
    told.later(3 * SECOND_MS)
    assert claim(told) == []
    told.later(2 * SECOND_MS)
    assert claim(told) == ["a"]
    assert bytes(told.state("jobs", "a").payload) == b'{"n":2}'


def test_what_is_debounced_may_have_the_same_id_until_it_begins():
    told = IndexedStory()
    debounce = {"key": "page-7", "wait_ms": SECOND_MS}
    for number in (1, 2):
        assert enqueue(told, "page-7", debounce=debounce, payload={"n": number}) == "page-7"
    assert bytes(told.state("jobs", "page-7").payload) == b'{"n":2}'
    # It is the job of another key.
    told.when("jobs.enqueue", id="page-7", type="sync", debounce=debounce | {"key": "page-8"})
    told.then_refused("already_exists")
    told.later(SECOND_MS)
    assert claim(told) == ["page-7"]
    told.when("jobs.enqueue", id="page-7", type="sync", debounce=debounce).then_refused("already_exists")


def test_what_is_debounced_is_not_put_off_for_ever():
    told = IndexedStory()
    debounce = {"key": "page-7", "wait_ms": 5 * SECOND_MS, "max_wait_ms": 8 * SECOND_MS}
    for number in range(4):
        assert enqueue(told, f"j{number}", debounce=debounce) == "j0"
        told.later(2 * SECOND_MS)
    assert claim(told) == ["j0"]


def test_what_is_debounced_and_may_be_put_off_no_longer_keeps_its_place_in_the_order():
    told = IndexedStory()
    debounce = {"key": "page-7", "wait_ms": 5 * SECOND_MS, "max_wait_ms": 8 * SECOND_MS}
    enqueue(told, "a", debounce=debounce)
    told.later(9 * SECOND_MS)
    enqueue(told, "behind")
    for number in range(3):
        told.later(SECOND_MS)
        assert enqueue(told, f"again-{number}", debounce=debounce) == "a"
    assert claim(told, 1) == ["a"]


def test_a_job_of_another_kind_that_is_debounced_is_due_at_once_where_it_has_waited_for_long():
    told = IndexedStory()
    enqueue(told, "a", unique={"key": "page-7"}, run_at=NOW + 60 * SECOND_MS)
    told.later(9 * SECOND_MS)
    enqueue(told, "b", debounce={"key": "page-7", "wait_ms": SECOND_MS, "max_wait_ms": 8 * SECOND_MS})
    assert claim(told) == ["a"]
    assert told.state("jobs", "a").run_at == NOW + 9 * SECOND_MS


def test_what_comes_while_a_debounced_job_runs_is_another_job():
    told = IndexedStory()
    debounce = {"key": "page-7", "wait_ms": SECOND_MS}
    enqueue(told, "a", debounce=debounce)
    told.later(SECOND_MS)
    assert claim(told) == ["a"]
    assert enqueue(told, "b", debounce=debounce) == "b"
    assert enqueue(told, "c", debounce=debounce) == "b"


def test_a_throttle_lets_so_many_jobs_through_in_its_window_and_names_the_newest():
    told = IndexedStory()
    throttle = {"key": "report", "window_ms": 10 * SECOND_MS, "limit": 2}
    assert enqueue(told, "a", throttle=throttle) == "a"
    told.later(SECOND_MS)
    assert enqueue(told, "b", throttle=throttle) == "b"
    claim(told)
    end(told, "b")
    assert enqueue(told, "c", throttle=throttle) == "b"
    told.later(9 * SECOND_MS)
    assert enqueue(told, "d", throttle=throttle) == "d"
    assert enqueue(told, "e", throttle=throttle) == "d"


@pytest.mark.parametrize(
    "body",
    [
        {"debounce": {"key": "k", "wait_ms": 1}, "throttle": {"key": "k", "window_ms": 1}},
        {"debounce": {"key": "k", "wait_ms": 1}, "unique": {"key": "k"}},
        {"debounce": {"key": "k", "wait_ms": 1}, "run_at": NOW + 1},
        {"debounce": {"key": "k", "wait_ms": 1}, "depends_on": ["b"]},
        {"debounce": {"key": "k", "wait_ms": 1}, "hold": True},
        {"debounce": {"key": "k", "wait_ms": 1}, "after_group": {"id": "g"}},
    ],
)
def test_one_enqueueing_asks_one_thing(body: dict[str, Any]):
    IndexedStory().when("jobs.enqueue", id="a", type="sync", **body).then_refused("invalid")

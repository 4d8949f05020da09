"""One job for one key: every scope with every state, windows, and what becomes of the second job."""

from collections.abc import Callable
from typing import Any

import pytest

from bus.writing.jobs.unique import UniqueJobs
from domain.jobs.events import (
    Archived,
    AttemptFailed,
    Cancelled,
    Claimed,
    Completed,
    Failed,
    Held,
    Replaced,
    Snoozed,
    TimedOut,
)
from tests.support.clock import NOW
from tests.support.domain.given_when_then import KEY, Story, given, raw
from tests.support.domain.job_states import LATER, claimed, enqueued
from tests.support.stores.looking_inside import unfinished

FIRST = {"unique_key": "u"}


def enqueue(story: Story, job_id: str = "two", **unique: Any) -> Story:
    return story.when("jobs.enqueue", id=job_id, type="mail", name="Second", unique={"key": "u"} | unique)


STATES: dict[str, Callable[[], Story]] = {
    "scheduled": lambda: given(enqueued(run_at=LATER, **FIRST)),
    "pending": lambda: given(enqueued(**FIRST)),
    "blocked": lambda: given(enqueued(waiting_for=("other",), **FIRST)),
    "held": lambda: given(enqueued(**FIRST), Held()),
    "running": lambda: given(enqueued(**FIRST), claimed()),
    "retrying": lambda: given(enqueued(**FIRST), claimed(), AttemptFailed(error="x", next_run_at=LATER)),
    "completed": lambda: given(enqueued(**FIRST), claimed(), Completed()),
    "failed": lambda: given(enqueued(**FIRST), claimed(), Failed(error="x")),
    "timeout": lambda: given(enqueued(**FIRST), claimed(), TimedOut(error="x")),
    "cancelled": lambda: given(enqueued(**FIRST), Cancelled()),
    "archived": lambda: given(enqueued(**FIRST), Cancelled(), Archived()),
}
UNFINISHED = {"scheduled", "pending", "held", "blocked", "running", "retrying"}
IN_THE_WAY = {
    "waiting": UNFINISHED - {"running"},
    "incomplete": UNFINISHED,
    "successful": UNFINISHED | {"completed"},
    "all": UNFINISHED | {"completed", "failed", "timeout", "cancelled"},
}


@pytest.mark.parametrize("scope", IN_THE_WAY)
@pytest.mark.parametrize("state", STATES)
def test_a_job_stands_in_the_way_as_far_as_the_scope_of_the_new_one_goes(scope: str, state: str):
    story = enqueue(STATES[state](), scope=scope)

    if state in IN_THE_WAY[scope]:
        story.then_nothing()
        assert story.result == {"existing": KEY}
    else:
        story.then(enqueued(name="Second", unique_key="u"))
        assert story.result is None


def test_another_key_is_not_in_the_way_and_neither_is_a_job_without_one():
    enqueue(given(enqueued(unique_key="v"))).then(enqueued(name="Second", unique_key="u"))
    enqueue(given(enqueued())).then(enqueued(name="Second", unique_key="u"))


def test_only_jobs_of_the_window_count():
    story = given(enqueued(**FIRST)).later(999)
    enqueue(story.copy(), window_ms=1_000).then_nothing()
    enqueue(story.later(1), window_ms=1_000).then(enqueued(name="Second", unique_key="u", run_at=NOW + 1_000))


def test_a_second_job_is_rejected_where_that_is_wanted():
    enqueue(given(enqueued(**FIRST)), on_conflict="reject").then_refused(
        "refused", rule="not_unique", existing=KEY, state="pending"
    )


def test_a_second_job_replaces_the_first_in_its_place():
    story = given(enqueued(payload=raw('{"a":1}'), priority=1, tags=("x",), **FIRST), Held())

    story.when(
        "jobs.enqueue", type="call", name="Second", queue="fast", payload={"b": 2}, run_at=LATER,
        unique={"key": "u", "on_conflict": "replace"},
    )  # fmt: skip

    story.then(Replaced(type="call", name="Second", queue="fast", payload=raw('{"b":2}'), run_at=LATER))
    assert story.result == {"existing": KEY}
    job = story.state("jobs")
    assert (job.type, job.queue, job.priority, job.run_at, job.tags) == ("call", "fast", 2, LATER, ())
    assert (job.state, job.unique_key) == ("held", "u")


def test_a_second_job_may_leave_the_first_its_time():
    story = given(enqueued(run_at=LATER, **FIRST))

    enqueue(story, on_conflict="preserve_run_at").then(Replaced(type="mail", name="Second", run_at=LATER))
    assert story.state("jobs").state == "scheduled"


@pytest.mark.parametrize("on_conflict", ["replace", "preserve_run_at"])
@pytest.mark.parametrize(
    "began", [(claimed(),), (claimed(), Snoozed(run_at=LATER)), (claimed(), Completed())]
)
def test_a_job_that_has_begun_is_not_replaced(on_conflict: str, began: Any):
    story = enqueue(given(enqueued(**FIRST), *began), scope="all", on_conflict=on_conflict)

    story.then_nothing()
    assert story.result == {"existing": KEY}


def test_of_several_jobs_in_the_way_it_is_the_newest():
    story = given(enqueued(**FIRST), key="old").given(enqueued(**FIRST), key="new")

    assert enqueue(story).result == {"existing": "new"}


def test_a_retried_job_may_meet_a_newer_one_with_its_key():
    story = enqueue(given(enqueued(**FIRST), Cancelled()))
    story.then(enqueued(name="Second", unique_key="u"))

    assert story.when("jobs.retry", id=KEY).refusal is None


def test_a_claimed_job_shows_its_key():
    story = (
        given(enqueued(**FIRST)).when("jobs.claim", worker="worker").then(Claimed(worker="worker", attempt=1))
    )

    assert story.state("jobs").unique_key == "u"


# The index of unfinished jobs


def test_a_finished_job_is_known_until_the_transaction_has_settled():
    unique = UniqueJobs()
    unique.add("u", "a", 1)
    unique.add("u", "b", 2)
    unique.settle()
    unique.remove("u", "b", 2)

    assert list(unique.newest_first("u")) == ["b", "a"]
    unique.settle()
    assert list(unique.newest_first("u")) == ["a"]
    unique.remove("u", "a", 1)
    unique.settle()
    assert unfinished(unique) == {}


def test_a_job_that_is_gone_may_come_again_with_another_key():
    unique = UniqueJobs()
    unique.add("u", "a", 1)
    unique.remove("u", "a", 1)
    unique.add("v", "a", 2)
    unique.settle()

    assert unfinished(unique) == {"v": {"a"}}


def test_what_was_taken_back_is_as_before():
    unique = UniqueJobs()
    unique.add("u", "a", 1)
    unique.remove("u", "a", 1)
    unique.add("u", "a", 1)
    unique.settle()

    assert list(unique.newest_first("u")) == ["a"]

"""Cancelling and retrying by what jobs are."""

from typing import Any

import pytest

from domain.jobs.events import Cancelled, CancelRequested, Completed, Failed, Retried
from tests.support.domain.given_when_then import TOKEN, Story
from tests.support.domain.job_states import claimed, enqueued


def crowd() -> Story:
    story = Story()
    story.given(enqueued(queue="a", tags=("x",)), key="waiting")
    story.given(enqueued(queue="a", tool="t"), claimed(), key="running")
    story.given(enqueued(queue="a"), claimed(), Failed(error="x"), key="failed")
    story.given(enqueued(queue="a"), Cancelled(), key="cancelled")
    story.given(enqueued(queue="a"), claimed(), Completed(), key="completed")
    story.later(1_000).given(enqueued(queue="b", type="call"), key="later")
    return story


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"queue": "a"}, ["waiting", "running"]),
        ({"status": "pending"}, ["waiting", "later"]),
        ({"state": "running"}, ["running"]),
        ({"state": "failed"}, []),
        ({"type": "call"}, ["later"]),
        ({"tag": "x"}, ["waiting"]),
        ({"tool": "t"}, ["running"]),
        ({"older_than_ms": 1_000}, ["waiting", "running"]),
        ({"queue": "a", "status": "running"}, ["running"]),
    ],
)
def test_those_are_cancelled_that_the_filter_means(wanted: dict[str, Any], ids: list[str]):
    story = crowd().when("jobs.cancel_many", filter=wanted, reason="why")

    assert story.result == {"ids": ids, "skipped": [], "remaining": 0}
    assert [key for key, _ in story.decision.events] == ids
    assert all(
        event == (CancelRequested if key == "running" else Cancelled)(reason="why")
        for key, event in story.decision.events
    )


def test_those_are_retried_that_did_not_succeed():
    crowd().when("jobs.retry_many", filter={"queue": "a"}).then(
        Retried(max_attempts=5), Retried(max_attempts=5)
    )


def test_a_dry_run_tells_what_would_happen_and_does_nothing():
    story = crowd().when("jobs.retry_many", filter={"queue": "a"}, limit=1, dry_run=True).then_nothing()

    assert story.result == {"ids": ["failed"], "skipped": [], "remaining": 1}


def test_asked_again_it_reaches_the_others():
    story = crowd()
    seen = []
    for _ in range(3):
        story.when("jobs.cancel_many", filter={"older_than_ms": 0}, limit=1)
        seen += story.result["ids"]

    assert seen == ["waiting", "running", "later"]


def test_a_filter_that_names_nothing_is_invalid():
    crowd().when("jobs.cancel_many", filter={}).then_refused("invalid", path="$.filter")


def test_what_cannot_be_retried_is_skipped():
    story = Story().given(enqueued(), claimed(), key="p").leased("p")
    story.given(enqueued(depends_on=("p",), waiting_for=("p",)), key="child")
    story.when("jobs.fail", id="p", lease=TOKEN, error="x", retryable=False)

    story.when("jobs.retry_many", filter={"state": "cancelled"}).then_nothing()

    assert story.result == {"ids": [], "skipped": ["child"], "remaining": 0}


def test_no_more_are_taken_than_the_answer_has_room_for():
    story = crowd()
    story.answer_bytes_left = 256

    story.when("jobs.cancel_many", filter={"older_than_ms": 0})

    assert (len(story.decision.events), story.result["remaining"]) == (1, 2)

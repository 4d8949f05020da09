"""Jobs that wait for other jobs, and paused queues."""

from typing import Any

import pytest

from bus.writing.jobs.dependents import Dependents
from domain.jobs.events import (
    AttemptFailed,
    Cancelled,
    Claimed,
    Completed,
    DependencyMet,
    Failed,
    Held,
    Released,
    Retried,
    TimedOut,
)
from domain.jobs.limits import DEPENDENTS_AT_ONCE
from domain.queues import Paused, Resumed
from tests.support.clock import NOW
from tests.support.domain.given_when_then import TOKEN, Story
from tests.support.domain.job_states import BODIES, LATER, claimed, enqueued

ENDS: dict[str, Any] = {
    "completed": Completed(),
    "failed": Failed(error="x"),
    "timeout": TimedOut(error="x"),
    "cancelled": Cancelled(),
}


def child(*parents: str, **changes: Any) -> Any:
    return enqueued(depends_on=parents, waiting_for=parents, **changes)


def family(policy: str = "cancel", parents: tuple[str, ...] = ("p",), **changes: Any) -> Story:
    """Running parents with leases, and a child that waits for them."""
    story = Story()
    for parent in parents:
        story.given(enqueued(max_attempts=1), claimed(), key=parent).leased(parent)
    return story.given(child(*parents, on_dependency_failure=policy, **changes), key="child")


def state(story: Story) -> str:
    found: str = story.state("jobs", "child").state
    return found


# Enqueue


def test_a_job_waits_for_what_has_not_completed():
    story = Story().given(enqueued(), key="p").given(enqueued(), claimed(), Completed(), key="done")

    story.when("jobs.enqueue", id="child", type="mail", name="A mail", depends_on=["p", "done", "p"])

    story.then(enqueued(depends_on=("p", "done"), waiting_for=("p",)))
    assert state(story) == "blocked"


def test_a_job_whose_dependencies_have_all_completed_is_due():
    story = Story().given(enqueued(), claimed(), Completed(), key="p")

    story.when("jobs.enqueue", id="child", type="mail", name="A mail", depends_on=["p"])

    assert state(story) == "pending"


def test_a_dependency_must_be_there_so_that_there_are_no_cycles():
    Story().when("jobs.enqueue", id="a", type="t", name="n", depends_on=["a"]).then_refused(
        "refused", rule="unknown_dependency", dependency="a"
    )


@pytest.mark.parametrize("end", ["failed", "timeout", "cancelled"])
@pytest.mark.parametrize(
    ("policy", "then"), [("cancel", "dependency_failed"), ("wait", "blocked"), ("run", "pending")]
)
def test_what_has_failed_before_counts_as_the_job_says(end: str, policy: str, then: str):
    story = Story().given(enqueued(), claimed(), ENDS[end], key="p")

    story.when("jobs.enqueue", id="child", type="t", name="n", depends_on=["p"], on_dependency_failure=policy)

    if then == "dependency_failed":
        story.then_refused("refused", rule=then, dependency="p", state=end)
    else:
        assert state(story) == then


# The end of a dependency


@pytest.mark.parametrize(
    ("verb", "ends"),
    [
        ("complete", "completed"),
        ("fail", "failed"),
        ("time_out", "failed"),
        ("ack_cancel", "failed"),
        ("interrupt", "failed"),
        ("snooze", "failed"),
    ],
)
@pytest.mark.parametrize("policy", ["cancel", "wait", "run"])
def test_the_end_of_a_job_decides_about_those_that_wait_for_it_in_the_same_transaction(
    verb: str, ends: str, policy: str
):
    story = family(policy)
    if verb in ("ack_cancel", "interrupt", "snooze"):
        story.when("jobs.cancel", id="p")
    story.leased("p", lease_ms=10**9)
    if verb == "time_out":
        story.later(900_000)

    story.when(f"jobs.{verb}", **BODIES[verb] | {"id": "p"})

    assert story.refusal is None
    expected = {"cancel": "cancelled", "wait": "blocked", "run": "pending"}[policy]
    assert state(story) == ("pending" if ends == "completed" else expected)


def test_a_job_that_is_cancelled_before_it_began_takes_along_what_waits_for_it():
    story = Story().given(enqueued(), key="p").given(child("p"), key="child")

    story.when("jobs.cancel", id="p").then(
        Cancelled(), Cancelled(reason="it depends on job p, which did not complete")
    )


def test_a_job_goes_on_once_the_last_of_its_dependencies_has_completed():
    story = family(parents=("p", "q"))

    story.when("jobs.complete", id="p", lease=TOKEN).then(Completed(), DependencyMet(dependency="p"))
    assert (state(story), story.state("jobs", "child").waiting_for) == ("blocked", ("q",))
    story.when("jobs.claim", worker="w").then_nothing()
    story.when("jobs.complete", id="q", lease=TOKEN)
    assert state(story) == "pending"
    story.when("jobs.claim", worker="w").then(Claimed(worker="w", attempt=1))


def test_a_job_keeps_the_time_that_it_was_to_run_at():
    story = family(run_at=LATER)

    assert state(story.when("jobs.complete", id="p", lease=TOKEN)) == "scheduled"


def test_an_attempt_that_is_tried_again_ends_nothing():
    story = Story().given(enqueued(), claimed(), key="p").leased("p").given(child("p"), key="child")

    story.when("jobs.fail", id="p", lease=TOKEN, error="x", retry_at=NOW).then(
        AttemptFailed(error="x", next_run_at=NOW)
    )
    assert state(story) == "blocked"


def test_a_patient_job_goes_on_when_what_failed_is_retried_and_completes():
    story = family("wait").when("jobs.fail", id="p", lease=TOKEN, error="x").then(Failed(error="x"))

    story.when("jobs.retry", id="p").when("jobs.claim", worker="w").leased("p")
    story.when("jobs.complete", id="p", lease=TOKEN)
    assert state(story) == "pending"


def test_a_held_job_is_told_too_and_goes_on_once_it_is_released():
    story = family().given(Held(), key="child")

    assert state(story.when("jobs.complete", id="p", lease=TOKEN)) == "held"
    assert state(story.given(Released(), key="child")) == "pending"


def test_a_job_that_is_released_before_its_time_waits_again():
    assert state(family().given(Held(), Released(), key="child")) == "blocked"


def test_a_command_decides_about_a_hundred_and_the_rest_follows():
    story = Story().given(enqueued(), claimed(), key="p").leased("p")
    for number in range(DEPENDENTS_AT_ONCE + 30):
        story.given(child("p"), key=f"child-{number}")

    story.when("jobs.complete", id="p", lease=TOKEN)
    assert len(story.decision.events) == 1 + DEPENDENTS_AT_ONCE
    story.when("jobs.resolve_dependents", id="p").then(*[DependencyMet(dependency="p")] * 30)
    story.when("jobs.resolve_dependents", id="p").then_nothing()


def test_what_others_wait_for_is_not_archived():
    story = family("wait").when("jobs.fail", id="p", lease=TOKEN, error="x")

    story.when("jobs.archive", id="p").then_refused("refused", rule="awaited")
    story.when("jobs.cancel", id="child").when("jobs.archive", id="p")
    assert story.state("jobs", "p") is None


# Retrying a job that was cancelled while it waited


def test_a_retried_job_waits_for_what_is_still_to_come():
    story = family(parents=("p", "q")).when("jobs.cancel", id="child")
    story.when("jobs.complete", id="p", lease=TOKEN).then(Completed())

    story.when("jobs.retry", id="child").then(Retried(max_attempts=5, waiting_for=("q",)))
    assert state(story) == "blocked"


def test_a_retried_job_does_not_wait_for_one_that_came_after_it_so_that_there_are_no_cycles():
    story = Story().given(enqueued(), Cancelled(), key="p")
    story.given(child("p", on_dependency_failure="wait"), Cancelled(), key="child")
    story.when("jobs.archive", id="p")
    story.when("jobs.enqueue", id="p", type="t", name="n", depends_on=["child"], on_dependency_failure="wait")

    story.when("jobs.retry", id="child").then_refused("refused", rule="unknown_dependency")


# The index


def test_only_those_that_do_not_wait_on_are_found_where_a_job_failed():
    known = Dependents()
    known.add("late", 2, ["p"], patient=False)
    known.add("patient", 3, ["p", "q"], patient=True)
    known.add("early", 1, ["p"], patient=False)

    assert known.first("p", 9, failed=True) == ["early", "late"]
    assert known.first("p", 9, failed=False) == ["early", "late", "patient"]
    assert known.first("p", 1, failed=False) == ["early"]
    known.remove("patient", ["p", "q"], patient=True)
    assert not known.is_awaited("q")


# Queues


def test_a_claim_on_a_paused_queue_gets_nothing_until_it_is_resumed():
    story = Story().given(enqueued(queue="slow"), key="a")

    story.when("jobs.pause_queue", queue="slow", reason="broken").then(Paused(reason="broken"))
    story.when("jobs.claim", worker="w", queue="slow").then_nothing()
    story.when("jobs.resume_queue", queue="slow").then(Resumed())
    story.when("jobs.claim", worker="w", queue="slow").then(Claimed(worker="w", attempt=1))


def test_pausing_twice_and_resuming_what_is_open_changes_nothing():
    story = Story().when("jobs.resume_queue", queue="q").then_nothing()

    story.when("jobs.pause_queue", queue="q").then(Paused()).later(5)
    story.when("jobs.pause_queue", queue="q").then_nothing()
    story.when("jobs.pause_queue", queue="q", reason="why").then(Paused(reason="why"))
    assert story.state("queues", "q").paused_at == NOW


def test_another_queue_goes_on():
    story = Story().given(enqueued(), key="a").when("jobs.pause_queue", queue="slow")

    story.when("jobs.claim", worker="w").then(Claimed(worker="w", attempt=1))

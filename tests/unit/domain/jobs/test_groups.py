"""Groups of jobs, and jobs that wait for them."""

from itertools import product
from typing import Any, get_args

import pytest

from domain.jobs.events import (
    Cancelled,
    Completed,
    DependencyMet,
    Enqueued,
    Failed,
    GroupMet,
    Released,
    Retried,
)
from domain.jobs.groups import AwaitedGroup, GroupCounts, GroupOutcome, counts_of, verdict
from domain.jobs.state import STATES
from tests.support.clock import NOW
from tests.support.domain.given_when_then import TOKEN, Story
from tests.support.domain.job_states import claimed, enqueued

GROUP = "import-7"
OUTCOMES = get_args(GroupOutcome)


def group(*members: str, **changes: Any) -> Story:
    """A group of running jobs with leases."""
    story = Story()
    for member in members:
        job = enqueued(group_id=GROUP, max_attempts=1, **changes)
        story.given(job, claimed(), key=member).leased(member, token=TOKEN)
    return story


def follow(story: Story, when: str = "all_completed", policy: str = "cancel", **body: Any) -> Story:
    after = {"id": GROUP, "when": when}
    body = {"id": "next", "on_dependency_failure": policy} | body
    return story.when("jobs.enqueue", type="t", after_group=after, **body)


def end(story: Story, member: str, how: str) -> Story:
    if how == "completed":
        return story.when("jobs.complete", id=member, lease=TOKEN)
    return story.when("jobs.fail", id=member, lease=TOKEN, error="x")


def state(story: Story, key: str = "next") -> str:
    found: str = story.state("jobs", key).state
    return found


# Verdicts for the jobs that wait for a group

TABLE = {
    # The unfinished, completed and unsuccessful jobs of a group: the verdict for a job that waits until all
    # have completed, until all have ended, until one has failed.
    (0, 0, 0): (None, None, None),
    (1, 0, 0): (None, None, None),
    (1, 1, 0): (None, None, None),
    (0, 1, 0): ("go_on", "go_on", "cancel"),
    (1, 0, 1): ("cancel", None, "go_on"),
    (1, 1, 1): ("cancel", None, "go_on"),
    (0, 0, 1): ("cancel", "go_on", "go_on"),
    (0, 1, 1): ("cancel", "go_on", "go_on"),
}


@pytest.mark.parametrize(("counts", "verdicts"), TABLE.items())
def test_who_waits_for_a_group_goes_on_when_it_is_so_and_is_cancelled_when_it_can_not_be(
    counts: tuple[int, int, int], verdicts: tuple[str | None, ...]
):
    group_counts = GroupCounts(**dict(zip(GroupCounts.__struct_fields__, counts, strict=True)))

    assert tuple(verdict(when, "cancel", group_counts) for when in OUTCOMES) == verdicts
    for when, found in zip(OUTCOMES, verdicts, strict=True):
        in_vain = found == "cancel"
        assert verdict(when, "wait", group_counts) == (None if in_vain else found)
        all_ended = group_counts.unfinished == 0
        assert verdict(when, "run", group_counts) == (("go_on" if all_ended else None) if in_vain else found)


@pytest.mark.parametrize(("old", "new"), list(product([None, *sorted(STATES)], repeat=2)))
def test_counts_follow_a_job_from_state_to_state(old: str | None, new: str | None):
    def counts(one: str | None) -> GroupCounts:
        return counts_of({} if one is None else {one: 1})

    assert counts(old).moved(old, new) == counts(new)
    assert counts(new).moved(new, old) == counts(old)
    assert counts(old).plus(counts(new)) == counts_of({}).moved(None, old).moved(None, new)


# Waiting for a group


def test_a_job_waits_until_the_last_of_a_group_has_completed_and_goes_on_in_the_same_transaction():
    story = follow(group("a", "b"))
    story.then(
        Enqueued(type="t", name="t", run_at=NOW, after_group=AwaitedGroup(id=GROUP, when="all_completed"))
    )
    assert state(story) == "blocked"

    end(story, "a", "completed").then(Completed())
    assert state(story) == "blocked"

    end(story, "b", "completed").then(Completed(), GroupMet(group=GROUP))
    assert state(story) == "pending"
    assert story.state("jobs", "next").after_group.met_at == NOW


def test_jobs_that_are_added_while_somebody_waits_are_waited_for_and_later_ones_are_not():
    story = end(follow(group("a")), "missing", "completed")
    story.when("jobs.enqueue", id="b", type="t", group_id=GROUP)

    end(story, "a", "completed").then(Completed())
    story.given(claimed(), key="b").leased("b")
    end(story, "b", "completed").then(Completed(), GroupMet(group=GROUP))

    story.when("jobs.enqueue", id="c", type="t", group_id=GROUP)
    assert state(story) == "pending"


@pytest.mark.parametrize(
    ("when", "policy", "then"),
    [
        ("all_completed", "cancel", "cancelled"),
        ("all_completed", "wait", "blocked"),
        ("all_completed", "run", "blocked"),
        ("all_ended", "cancel", "blocked"),
        ("one_failed", "cancel", "pending"),
    ],
)
def test_a_failure_of_one_decides_at_once_what_it_decides(when: str, policy: str, then: str):
    story = end(follow(group("a", "b"), when, policy), "a", "failed")

    assert state(story) == then
    if then == "cancelled":
        reason = f"a job of group {GROUP}, which it waits for, did not complete"
        story.then(Failed(error="x"), Cancelled(reason=reason))
    end(story, "b", "completed")
    assert state(story) == ("pending" if then == "blocked" and policy != "wait" else then)


def test_a_job_that_waits_on_goes_on_once_what_failed_is_retried_and_completes():
    story = end(follow(group("a"), policy="wait"), "a", "failed")
    story.when("jobs.retry", id="a").when("jobs.claim", worker="w")
    (lease,) = story.decision.leases.values()
    assert lease is not None

    story.when("jobs.complete", id="a", lease=lease.token).then(Completed(), GroupMet(group=GROUP))


@pytest.mark.parametrize(("end_of", "when"), [("failed", "all_completed"), ("completed", "one_failed")])
def test_a_job_that_would_wait_in_vain_is_refused_as_with_a_dependency_that_failed(end_of: str, when: str):
    story = end(group("a"), "a", end_of)

    follow(story, when).then_refused("refused", rule="dependency_failed", group=GROUP)
    assert state(follow(story, when, "wait")) == "blocked"
    assert state(follow(story, when, "run", id="runs"), "runs") == "pending"


def test_a_group_that_is_as_it_should_be_already_holds_nobody_up():
    story = follow(end(group("a"), "a", "completed"))

    assert [type(event) for _, event in story.decision.events] == [Enqueued, GroupMet]
    assert state(story) == "pending"


def test_a_job_waits_for_its_dependencies_and_for_a_group_whichever_comes_last():
    for first, second in (("a", "p"), ("p", "a")):
        story = group("a").given(enqueued(), claimed(), key="p").leased("p")
        follow(story, depends_on=["p"])
        end(story, first, "completed")
        assert state(story) == "blocked"
        end(story, second, "completed")
        assert state(story) == "pending"


def test_a_dependency_of_the_same_group_that_fails_cancels_once():
    story = follow(group("a"), depends_on=["a"])

    end(story, "a", "failed")

    assert [type(event) for _, event in story.decision.events] == [Failed, Cancelled]
    assert story.copy().when("jobs.enqueue", id="x", type="t").refusal is None


def test_a_dependency_of_the_same_group_that_completes_ends_both_waits():
    story = follow(group("a"), depends_on=["a"])

    end(story, "a", "completed").then(Completed(), DependencyMet(dependency="a"), GroupMet(group=GROUP))
    assert state(story) == "pending"


def test_nobody_waits_for_the_group_that_it_belongs_to():
    follow(group("a"), group_id=GROUP).then_refused("invalid", path="$.after_group.id")


# Held, retried, archived


def test_a_job_that_is_held_is_decided_about_when_it_is_released():
    story = follow(group("a", "b"), hold=True)
    end(story, "a", "completed")
    later = story.copy()
    end(end(story, "b", "completed"), "next", "completed")
    assert state(story) == "held"

    story.when("jobs.release", id="next").then(Released(), GroupMet(group=GROUP))
    assert state(story) == "pending"

    later.when("jobs.release", id="next").then(Released())
    assert state(later) == "blocked"


def test_what_is_released_in_vain_is_cancelled_and_whoever_depends_on_it_is_told():
    story = follow(group("a"), hold=True).when("jobs.enqueue", id="last", type="t", depends_on=["next"])
    end(story, "a", "failed")
    assert state(story) == "held"

    story.when("jobs.release", id="next")

    assert [type(event) for _, event in story.decision.events] == [Released, Cancelled, Cancelled]
    assert state(story, "last") == "cancelled"


def test_what_has_gone_on_does_not_wait_again_when_it_is_held_or_retried():
    story = end(follow(group("a")), "a", "completed")
    story.when("jobs.enqueue", id="b", type="t", group_id=GROUP)

    story.when("jobs.hold", id="next").when("jobs.release", id="next").then(Released())
    assert state(story) == "pending"

    story.when("jobs.cancel", id="next").when("jobs.retry", id="next")
    assert state(story) == "pending"


def test_what_was_cancelled_while_it_waited_waits_again_when_it_is_retried():
    story = follow(group("a")).when("jobs.cancel", id="next").when("jobs.retry", id="next")
    assert state(story) == "blocked"

    story.when("jobs.cancel", id="next")
    end(story, "a", "completed")
    story.copy().when("jobs.retry", id="next").then(Retried(max_attempts=5), GroupMet(group=GROUP))

    story.given(enqueued(group_id=GROUP), Cancelled(), key="b")
    story.when("jobs.retry", id="next").then_refused("refused", rule="dependency_failed", group=GROUP)


def test_no_job_of_a_group_that_somebody_waits_for_is_archived():
    story = end(follow(group("a", "b")), "a", "completed")
    story.when("jobs.archive", id="a").then_refused("refused", rule="awaited")

    end(story, "b", "completed")
    story.when("jobs.archive", id="a")

    assert story.refusal is None


def test_the_rest_of_those_that_wait_is_told_by_the_service():
    story = group("a")
    for number in range(150):
        follow(story, id=f"next-{number:03}")

    end(story, "a", "completed")
    assert len(story.decision.events) == 101

    story.when("jobs.resolve_group", id=GROUP)
    assert [key for key, _ in story.decision.events] == [f"next-{number}" for number in range(100, 150)]
    story.when("jobs.resolve_group", id=GROUP).then_nothing()


def test_jobs_are_cancelled_by_their_group():
    story = group("a").given(enqueued(group_id=GROUP), key="b").given(enqueued(), key="other")

    story.when("jobs.cancel_many", filter={"group_id": GROUP})

    assert [key for key, _ in story.decision.events] == ["a", "b"]

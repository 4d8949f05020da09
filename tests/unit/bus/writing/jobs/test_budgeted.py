"""Waiting jobs that draw on rate limits: who is held up, who is not, and what a claim costs."""

from typing import Any

from bus.writing.jobs.due import ASK_AGAIN_MS, DueJobs
from bus.writing.jobs.lane import WaitingJob
from tests.support.clock import NOW


class Permits:
    """Counts how often it is asked; a limit without an entry has calls at once."""

    def __init__(self, **held: int | None) -> None:
        self.held = held
        self.asked = 0

    def allowed_from(self, job: WaitingJob) -> int | None:
        self.asked += 1
        return self.held.get(job.limit or "", NOW)

    def took(self, job: WaitingJob, *, is_own: bool) -> None:
        # One job of a limit at a time.
        self.held[job.limit or ""] = None


def waiting(job_id: str, limit: str | None, position: int, **changes) -> WaitingJob:
    said: dict[str, Any] = {"queue": "default", "type": "sync", "priority": 2, "run_at": NOW} | changes
    return WaitingJob(id=job_id, created_position=position, limit=limit, **said)


def filled(*jobs: WaitingJob) -> DueJobs:
    due = DueJobs()
    for job in jobs:
        due.add(job)
    return due


def claimed(due: DueJobs, permits: Permits, limit: int = 10, now: int = NOW) -> list[str]:
    return due.next("default", None, limit, now, (), permits)


def test_a_limit_without_calls_holds_up_its_own_jobs_alone():
    due = filled(
        waiting("a1", "a", 1), waiting("b1", "b", 2), waiting("a2", "a", 3), waiting("free", None, 4)
    )

    assert claimed(due, Permits(a=NOW + 7)) == ["b1", "free"]
    assert due.held_until("default", None, NOW) == NOW + 7


def test_behind_a_job_that_needs_more_calls_than_there_are_others_of_its_limit_wait():
    due = filled(waiting("dear", "a", 1, cost=9), waiting("cheap", "a", 2))
    permits = Permits()
    permits.allowed_from = lambda job: NOW if job.cost == 1 else NOW + 50  # type: ignore[method-assign]

    assert claimed(due, permits) == []
    assert due.held_until("default", None, NOW) == NOW + 50


def test_jobs_of_several_limits_come_in_one_order_with_those_of_none():
    due = filled(
        waiting("low", "a", 1, priority=1),
        waiting("plain", None, 2),
        waiting("urgent", "b", 3, priority=4),
        waiting("early", "c", 4, run_at=NOW - 5),
    )
    assert claimed(due, Permits()) == ["urgent", "early", "plain", "low"]


def test_one_that_is_held_until_something_is_heard_is_asked_for_again_soon():
    due = filled(waiting("a1", "a", 1))

    assert claimed(due, Permits(a=None)) == []
    assert due.held_until("default", None, NOW) == NOW + ASK_AGAIN_MS
    assert due.held_until("other", None, NOW) is None


def test_a_limit_that_changed_is_looked_at_again_before_its_time():
    due = filled(waiting("a1", "a", 1))
    assert claimed(due, Permits(a=NOW + 1_000_000)) == []
    assert claimed(due, Permits()) == [], "nobody has said that anything changed"

    due.limit_changed("a")
    assert claimed(due, Permits()) == ["a1"]


def test_a_limit_whose_time_has_come_is_looked_at_again():
    due = filled(waiting("a1", "a", 1))
    assert claimed(due, Permits(a=NOW + 10)) == []
    assert claimed(due, Permits(a=NOW), now=NOW + 10) == ["a1"]


def test_a_job_that_was_looked_at_and_not_taken_out_is_there_for_the_next_claim():
    due = filled(waiting("a1", "a", 1), waiting("a2", "a", 2))
    assert claimed(due, Permits()) == ["a1"]
    assert claimed(due, Permits()) == ["a1"]

    due.remove("a1")
    assert claimed(due, Permits()) == ["a2"]
    due.remove("a2")
    assert (len(due), due.limits()) == (0, [])


def test_a_better_job_that_comes_later_is_the_next_of_its_limit():
    due = filled(waiting("a1", "a", 1), waiting("b1", "b", 2))
    assert claimed(due, Permits()) == ["a1", "b1"]
    due.add(waiting("a0", "a", 3, priority=4))
    due.remove("b1")
    assert claimed(due, Permits()) == ["a0"]


def test_limits_without_calls_cost_a_claim_nothing_however_many_they_are():
    due = filled(*(waiting(f"j{number}", f"l{number % 1_000}", number) for number in range(10_000)))
    due.add(waiting("able", "able", 10_001))
    permits = Permits(**{f"l{number}": NOW + 60_000 for number in range(1_000)})
    assert claimed(due, permits) == ["able"]
    assert permits.asked <= 1_002

    permits.asked = 0
    permits.held.pop("able")
    for _ in range(100):
        assert claimed(due, permits) == ["able"]
        permits.held.pop("able")
    # Once for the one that is handed out, and once for the one behind it, which is not there.
    assert permits.asked <= 200

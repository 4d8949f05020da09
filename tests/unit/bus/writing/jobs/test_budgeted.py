"""Waiting jobs that draw on rate limits: which are held up, which are not, and what a claim costs."""

from typing import Any

from bus.writing.jobs.due import ASK_AGAIN_MS, DueJobs
from bus.writing.jobs.lane import Counted, Gate, WaitingJob
from bus.writing.jobs.throttles import Throttles
from domain.rate_limits.state import RateLimit
from tests.support.clock import NOW


class Permits:
    """Counts how often it is asked; a limit without an entry has calls at once."""

    def __init__(self, **held: int | None) -> None:
        self.held = held
        self.asked = 0

    def allowed_from(self, job: WaitingJob) -> int | None:
        return self.held.get(job.gates[0].key, NOW)

    def refusal(self, job: WaitingJob) -> tuple[Gate, int | None] | None:
        self.asked += 1
        when = self.allowed_from(job)
        return (job.gates[0], when) if when is None or when > NOW else None

    def took(self, job: WaitingJob, *, is_own: bool) -> None:
        # One job of a limit at a time.
        self.held |= {gate.key: None for gate in job.gates}

    def counted(self, counted: Counted) -> int:
        return 0


def waiting(job_id: str, limit: str | None, position: int, **changes) -> WaitingJob:
    said: dict[str, Any] = {"queue": "default", "type": "sync", "priority": 2, "run_at": NOW} | changes
    gates = () if limit is None else (Gate("calls", limit),)
    return WaitingJob(id=job_id, created_position=position, gates=gates, **said)


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
    due.remove("dear")
    assert claimed(due, permits) == ["cheap"]


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


def test_a_search_that_takes_nothing_leaves_no_job_of_another_type_held_on_its_account():
    due = filled(waiting("a1", "one", 1, type="a"), waiting("b1", "one", 2, type="b"))
    # This search finds `a1` and leaves `b1` held behind it; then no claim takes `a1`.
    assert claimed(due, Permits()) == ["a1"]

    assert due.next("default", ["b"], 10, NOW, (), Permits()) == ["b1"]


def test_while_jobs_are_held_others_that_come_to_be_due_before_say_when_to_ask_again():
    due = filled(waiting("held", "a", 1))
    for number, (limit, run_at) in enumerate([(None, NOW + 30), ("b", NOW + 20), (None, NOW + 10)]):
        due.add(waiting(f"to come {number}", limit, 2 + number, type=f"type {number}", run_at=run_at))
    assert claimed(due, Permits(a=NOW + 1_000)) == []
    assert due.held_until("default", None, NOW) == NOW + 10
    due.remove("to come 2")
    assert due.held_until("default", None, NOW) == NOW + 20
    assert due.held_until("default", ["type 0", "sync"], NOW) == NOW + 30
    assert due.held_until("default", ["type 0"], NOW) is None, "nothing of these is held"


def throttled(key: str, until: int, at: int = NOW, *, wide: bool = True) -> RateLimit:
    return RateLimit(key=key, created_at=at, updated_at=at, throttled_until=until, throttled_widely=wide)


def test_waits_that_are_over_are_dropped_however_many_there_were():
    throttles = Throttles()
    for number in range(5_000):
        one = throttled(f"github:me{number}:core", NOW + number + 5, NOW + number)
        assert throttles.replace(one.key, one) is None
        again = throttled(one.key, NOW + number + 6, NOW + number)
        assert throttles.replace(one.key, again) is None, "nobody waits less long"
    assert len(throttles) < 200
    assert throttles.until("github:me4999:search") == NOW + 5_005


def test_the_longest_wait_over_a_limit_is_that_of_its_account_or_of_its_platform():
    throttles = Throttles([throttled("github:me:core", NOW + 5), throttled("github:me:search", NOW + 7)])
    throttles.replace("gitlab", throttled("gitlab", NOW + 9, wide=False))
    waits = {"github:me:graphql": 7, "github:you:core": 0, "github:core": 0, "gitlab:you:api": 9}
    assert {key: throttles.until(key) for key in waits} == {
        key: NOW + wait if wait else 0 for key, wait in waits.items()
    }

    assert throttles.replace("github:me:search", throttled("github:me:search", NOW + 6)) == ("github", "me")
    assert throttles.until("github:me:graphql") == NOW + 6
    assert throttles.replace("github:me:search", None) == ("github", "me")
    assert throttles.until("github:me:graphql") == NOW + 5
    assert throttles.replace("gitlab", None) == ("gitlab", "")
    assert throttles.until("gitlab:you:api") == 0


def test_a_wait_that_ends_early_is_one_of_the_limits_of_its_account_alone():
    due = filled(
        waiting("a", "github:me:core", 1),
        waiting("b", "github:you:core", 2),
        waiting("c", "github:core", 3),
        waiting("d", "gitlab:me:core", 4),
    )
    assert due.limits_of(("github", "me")) == ["github:me:core"]
    assert due.limits_of(("github", "")) == ["github:me:core", "github:you:core", "github:core"]
    for job in ("a", "b", "c"):
        due.remove(job)
    assert due.limits_of(("github", "")) == []

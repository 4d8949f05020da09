"""Jobs that draw on a rate limit: which are claimed, what is set aside for them, and what comes back."""

from typing import Any

import msgspec
import pytest

from domain.jobs.events import Claimed, Completed
from domain.jobs.limits import DEFAULT_LEASE_MS
from domain.rate_limits.availability import STALE_AFTER_MS
from domain.rate_limits.job_calls import JobBudget
from domain.rate_limits.ledger import LATEST_MS, RESET_MARGIN_MS
from domain.rate_limits.messages import CallsClaimed, CallsEnded, JobCalls
from tests.support.clock import HOUR_MS, NOW
from tests.support.domain.given_when_then import Story
from tests.support.domain.indexed_story import IndexedStory

CORE = {"platform": "github", "resource": "core"}
RESET = NOW + HOUR_MS


def story(*budgets: dict[str, Any], remaining: int | None = 10, **limit: Any) -> IndexedStory:
    """Jobs a, b, c … with these budgets, and a limit of 10 an hour as it was observed."""
    told = IndexedStory()
    for name, budget in zip("abcdefgh", budgets, strict=False):
        told.when("jobs.enqueue", id=name, type="sync", budget=CORE | budget)
    if remaining is not None:
        observe(told, remaining, **limit)
    return told


def observe(told: Story, remaining: int, **limit: Any) -> None:
    said = {"limit": 10, "reset_time": RESET} | limit
    told.when("rate_limits.observe", **CORE, remaining=remaining, **said)
    assert told.refusal is None


def claim(told: Story, limit: int = 10) -> list[str]:
    told.when("jobs.claim", worker="w", limit=limit)
    return list(told.decision.leases)


def end(told: Story, job_id: str, **said: Any) -> Story:
    return told.when("jobs.complete", id=job_id, lease=told.leases[job_id].token, **said)


def retry_after_ms(told: Story) -> int | None:
    asked: int | None = told.decision.result(lambda *_: msgspec.Raw(b"{}")).get("retry_after_ms")
    return asked


def test_a_job_keeps_the_budget_that_it_was_enqueued_with():
    told = story({"cost": 3})
    assert told.state("jobs", "a").budget == JobBudget(platform="github", resource="core", cost=3)


def test_an_identifier_of_a_budget_needs_a_resource_wherever_it_stands():
    budget = {"platform": "github", "identifier": "me"}
    with pytest.raises(msgspec.ValidationError, match=r"needs a resource - at `\$\.budget`"):
        Story().when("jobs.enqueue", type="sync", budget=budget)
    job = {"type": "sync", "name": "Sync", "budget": budget}
    with pytest.raises(msgspec.ValidationError, match=r"needs a resource - at `\$\.job\.budget`"):
        Story().when("schedules.set", id="each", every_ms=HOUR_MS, job=job)


def test_the_jobs_of_a_schedule_draw_on_the_limit_that_it_names():
    told = IndexedStory()
    job = {"type": "sync", "name": "Sync", "budget": CORE | {"cost": 3}}
    told.when("schedules.set", id="each", every_ms=HOUR_MS, job=job)
    told.later(HOUR_MS).when("schedules.run", id="each")
    observe(told, 5, reset_time=told.now + HOUR_MS)
    assert claim(told) == [f"each@{told.now}"]
    told.when("schedules.set", id="each", every_ms=HOUR_MS, job=job).then_nothing()
    assert told.state("rate_limits", "github:core").budgets[0].left == 2


def test_calls_are_set_aside_with_the_claim_and_end_with_the_attempt():
    told = story({"cost": 4}, {"cost": 4})
    told.when("jobs.claim", worker="w", limit=1).then(
        CallsClaimed(jobs=(JobCalls(job="a", cost=4),)), Claimed(worker="w", attempt=1)
    )
    assert told.state("rate_limits", "github:core").budgets[0].left == 6
    end(told, "a").then(CallsEnded(job="a"), Completed())


def test_no_more_jobs_are_claimed_than_there_are_calls_left_and_the_answer_says_until_when():
    told = story(*[{"cost": 4}] * 3)
    assert claim(told) == ["a", "b"]
    assert retry_after_ms(told) == HOUR_MS + RESET_MARGIN_MS
    assert claim(told) == []
    assert retry_after_ms(told) == HOUR_MS + RESET_MARGIN_MS


def test_an_answer_that_no_budget_is_involved_in_says_nothing_of_when_to_ask_again():
    told = IndexedStory()
    told.when("jobs.claim", worker="w", limit=1)
    assert told.decision.result(None) == {"jobs": []}


def test_calls_that_a_worker_gives_back_are_left_again():
    told = story({"cost": 10}, {"cost": 5})
    assert claim(told) == ["a"]
    end(told, "a", calls=5).then(CallsEnded(job="a", unused=5), Completed())
    assert claim(told) == ["b"]


@pytest.mark.parametrize("verb", ["interrupt", "fail", "snooze"])
def test_however_an_attempt_ends_its_calls_do(verb: str):
    told = story({"cost": 10})
    claim(told)
    more: dict[str, dict[str, Any]] = {"fail": {"error": "x"}, "snooze": {"run_at": NOW + 1}}
    body = more.get(verb, {})
    told.when(f"jobs.{verb}", id="a", lease=told.leases["a"].token, **body)
    assert told.decision.events[0] == ("github:core", CallsEnded(job="a"))


def test_the_calls_of_a_lost_worker_end_with_the_rescue():
    told = story({"cost": 10})
    claim(told)
    told.later(DEFAULT_LEASE_MS).when("jobs.rescue", id="a")
    assert told.decision.events[0] == ("github:core", CallsEnded(job="a"))


def test_as_long_as_nothing_is_known_of_a_limit_one_job_goes_at_a_time():
    told = story({}, {}, {}, remaining=None)
    assert claim(told) == ["a"]
    assert claim(told) == []
    assert retry_after_ms(told) == 1_000
    observe(told, 9)
    assert claim(told) == ["b", "c"]


def test_what_was_not_heard_of_for_long_lets_one_job_go_at_a_time():
    told = story({}, {}).later(STALE_AFTER_MS + 1)
    assert claim(told) == ["a"]
    observe(told, 9)
    assert claim(told) == ["b"]


def test_an_observation_of_fewer_calls_than_reckoned_holds_jobs_up():
    told = story(*[{"cost": 3}] * 3)
    assert claim(told, 1) == ["a"]
    observe(told, 4)
    # Four calls remain, and the platform may not have counted the three of the running attempt yet.
    assert claim(told) == []


def test_calls_that_were_never_made_are_left_again_once_that_is_certain():
    told = story({"cost": 10}, {"cost": 1})
    claim(told)
    told.later(DEFAULT_LEASE_MS).when("jobs.rescue", id="a")
    observe(told, 9)
    assert claim(told) == [], "the calls may have been made a moment ago"
    told.later(LATEST_MS + 1)
    observe(told, 8)
    assert claim(told) == ["b"]


def test_a_window_begins_with_what_is_under_way_taken_off():
    told = story({"cost": 7}, {"cost": 4}, {"cost": 3})
    assert claim(told) == ["a"]
    told.leases.clear()
    told.at(RESET + RESET_MARGIN_MS - 1)
    assert claim(told) == []
    told.at(RESET + RESET_MARGIN_MS)
    observe(told, 10, reset_time=RESET + HOUR_MS)
    assert claim(told) == [], "four calls are more than the three beside those seven"


def test_a_job_that_costs_more_than_the_limit_goes_when_all_of_it_is_there():
    told = story({"cost": 99}, {"cost": 1}, remaining=9)
    assert claim(told) == []
    told.at(RESET + RESET_MARGIN_MS)
    assert claim(told) == ["a"]


def test_after_a_refusal_nothing_of_the_limit_goes_out_and_everything_else_does():
    told = story({}, {"resource": "search"}, {"platform": "gitlab", "resource": "api"})
    told.when("rate_limits.throttle", **CORE, until=NOW + 5_000)
    assert claim(told) == ["b", "c"]
    told.at(NOW + 5_000)
    assert claim(told) == ["a"]


def test_a_refusal_on_account_of_all_that_is_done_there_holds_up_the_whole_platform():
    told = story({}, {"resource": "search"}, {"platform": "gitlab", "resource": "api"}, {"identifier": "me"})
    headers = {"retry-after": "60", "x-ratelimit-remaining": "7", "x-ratelimit-resource": "core"}
    told.when("rate_limits.observe_response", platform="github", status=403, headers=headers)
    # Another account has limits of its own.
    assert claim(told) == ["c", "d"]
    assert retry_after_ms(told) == 60_000
    told.later(60_000)
    assert claim(told) == ["a", "b"]


def test_a_platform_that_is_throttled_holds_up_all_of_its_accounts():
    told = story({}, {"identifier": "me"})
    told.when("rate_limits.throttle", platform="github", until=NOW + 5_000)
    assert claim(told) == []
    told.when("rate_limits.clear", platform="github")
    assert claim(told) == ["a", "b"]


def test_the_calls_of_a_limit_that_was_cleared_end_without_a_word():
    told = story({})
    claim(told)
    told.when("rate_limits.clear", **CORE)
    end(told, "a").then(Completed())


def test_reservations_and_jobs_share_what_is_left():
    told = story({"cost": 6})
    told.when("rate_limits.reserve", **CORE, cost=5, reservation="r", ttl_ms=2_000)
    assert claim(told) == []
    assert retry_after_ms(told) == 2_000
    told.later(2_000)
    assert claim(told) == ["a"]
    told.when("rate_limits.reserve", **CORE, cost=5)
    assert told.result["granted"] is False
    assert told.result["remaining"] == 4


def test_calls_that_may_be_those_of_a_window_that_nobody_told_of_count_as_long_as_it_may_last():
    told = story({"cost": 1}, {"cost": 10})
    assert claim(told) == ["a"]
    told.at(RESET + RESET_MARGIN_MS)
    told.when("jobs.rescue", id="a")
    told.when("jobs.cancel", id="a")
    assert claim(told) == []
    wait = retry_after_ms(told)
    assert wait is not None
    assert HOUR_MS < wait <= HOUR_MS + RESET_MARGIN_MS + 1
    told.later(wait)
    assert claim(told) == ["b"]


@pytest.mark.parametrize("remaining", [None, 9])
def test_a_reservation_that_runs_out_leaves_a_job_alone_with_a_limit_that_nobody_knows(remaining: int | None):
    told = story({}, remaining=remaining).later(STALE_AFTER_MS + 1)
    told.when("rate_limits.reserve", **CORE, ttl_ms=60_000)
    assert claim(told) == []
    assert retry_after_ms(told) == 60_000
    told.later(60_000)
    assert claim(told) == ["a"]


def test_a_limit_that_lets_no_call_through_lets_no_job_through():
    told = story({"cost": 50}, remaining=0, limit=0)
    assert claim(told) == []
    told.at(RESET + RESET_MARGIN_MS)
    assert claim(told) == []
    observe(told, 60, limit=60, reset_time=told.now + HOUR_MS)
    assert claim(told) == ["a"]


def policies(told: Story) -> dict[str, int | None]:
    return {one.policy: one.left for one in told.state("rate_limits", "github:core").budgets}


def test_a_job_takes_the_whole_of_a_short_policy_and_all_of_its_calls_from_a_long_one():
    told = story({"cost": 50}, {"cost": 50}, remaining=None)
    headers = {
        "ratelimit-policy": '"second";q=10;w=1, "hour";q=5000;w=3600',
        "ratelimit": '"second";r=10;t=1, "hour";r=5000;t=3600',
    }
    told.when("rate_limits.observe_response", **CORE, status=200, headers=headers)
    assert claim(told) == ["a"]
    assert policies(told) == {"second": 0, "hour": 4950}
    end(told, "a", calls=4)
    assert policies(told) == {"second": 6, "hour": 4996}


def test_a_worker_that_made_more_calls_than_were_meant_is_believed():
    told = story({"cost": 2}, {"cost": 4})
    assert claim(told, 1) == ["a"]
    end(told, "a", calls=7).then(CallsEnded(job="a", unused=-5), Completed())
    assert told.state("rate_limits", "github:core").budgets[0].left == 3
    assert claim(told) == []


def test_who_waits_for_calls_that_jobs_have_is_told_when_a_window_begins():
    told = story({"cost": 10})
    claim(told)
    told.when("rate_limits.reserve", **CORE, cost=8)
    assert (told.result["granted"], told.result["retry_at"]) == (False, RESET)


def test_calls_of_a_reservation_that_ends_as_the_window_may_be_over_are_those_of_the_old_one():
    told = story({"cost": 1})
    assert claim(told) == ["a"]
    told.at(RESET - 1_000).when("rate_limits.reserve", **CORE, cost=5, reservation="r", ttl_ms=60_000)
    told.at(RESET + RESET_MARGIN_MS - 1).when("rate_limits.release", **CORE, reservation="r", used=5)
    policy = told.state("rate_limits", "github:core").budgets[0]
    assert (policy.left, policy.reset_time) == (4, RESET)


def test_an_observation_that_changes_nothing_by_when_it_comes_is_no_event():
    told = story({"cost": 40}, remaining=100, limit=100)
    assert claim(told) == ["a"]
    end(told, "a")
    # The platform had counted those calls when it answered; the answer comes too late to change anything.
    made_at = told.now + LATEST_MS + 1
    told.at(made_at + LATEST_MS + 1)
    observe(told, 99, limit=100, observed_at=made_at)
    told.then_nothing()

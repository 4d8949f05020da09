"""Effects of observed responses: budgets, waits, levels; told as stories."""

from typing import Any

import pytest

from domain.rate_limits.availability import availability
from domain.rate_limits.messages import LevelChanged, Observed, Throttled
from domain.rate_limits.refusals import BURST_MS, FIRST_WAIT_MS, LONGEST_WAIT_MS
from tests.support.clock import HOUR_MS, MINUTE_MS, NOW
from tests.support.domain.given_when_then import Story, given
from tests.support.domain.rate_limit_responses import RESPONSES, Response

RESET = NOW + 30 * MINUTE_MS


def github(remaining: int = 4_000) -> dict[str, str]:
    return {
        "x-ratelimit-limit": "5000",
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(RESET // 1000),
        "x-ratelimit-resource": "core",
    }


def respond(story: Story, status: int = 200, headers: Any = (), **more: Any) -> Story:
    body = {"platform": "github", "status": status, "headers": dict(headers)} | more
    return story.when("rate_limits.observe_response", **body)


def known(story: Story, key: str = "github:core") -> Any:
    return story.state("rate_limits", key)


def throttled(story: Story) -> list[Throttled]:
    return [event for _, event in story.decision.events if isinstance(event, Throttled)]


# Keys


def test_a_resource_of_the_headers_is_part_of_the_key_and_a_given_one_wins():
    assert respond(given(), headers=github()).decision.events[0][0] == "github:core"
    assert respond(given(), headers=github(), resource="mine").decision.events[0][0] == "github:mine"
    named = respond(given(), headers=github(), identifier="me")
    assert named.decision.events[0][0] == "github:me:core"
    assert named.decision.result.resource == "core"


def test_an_identifier_needs_a_resource_from_somewhere():
    respond(given(), headers={"x-ratelimit-remaining": "1"}, identifier="me").then_refused(
        "invalid", path="$.resource"
    )


# Budgets


def test_a_response_is_an_observation():
    respond(given(), headers=github()).then(
        Observed(remaining=4_000, limit=5_000, used=1_000, reset_time=RESET, observed_at=NOW)
    )


def test_a_response_answers_whether_another_call_is_allowed():
    seen = respond(given(), headers=github()).decision.result

    assert (seen.allowed, seen.retry_at, seen.remaining, seen.level, seen.stale, seen.resource) == (
        True, None, 4_000, "normal", False, "core",
    )  # fmt: skip


def test_a_response_that_says_nothing_of_limits_changes_nothing():
    respond(given(), headers={"Content-Type": "text/html"}).then_nothing()
    respond(given(), status=500).then_nothing()


def test_a_response_from_the_future_is_invalid():
    respond(given(), headers=github(), observed_at=NOW + 300_001).then_refused(
        "invalid", path="$.observed_at"
    )


def test_responses_that_come_in_another_order_do_not_take_back_what_is_known():
    story = respond(given(), headers=github(3_000))

    respond(story, headers=github(4_000), observed_at=NOW - 1).then_nothing()
    assert known(story).remaining == 3_000


def test_several_policies_are_one_event_and_the_one_with_the_fewest_calls_binds():
    headers = {
        "RateLimit": '"second";r=90;t=1, "hour";r=60;t=600',
        "RateLimit-Policy": '"second";q=100;w=1, "hour";q=1000;w=3600',
    }
    story = respond(given(), headers=headers, platform="example")

    observed, level = (event for _, event in story.decision.events)
    assert isinstance(observed, Observed)
    assert (observed.policy, observed.remaining, observed.window_ms) == ("hour", 60, HOUR_MS)
    assert [(one.policy, one.remaining) for one in observed.others] == [("second", 90)]
    assert level == LevelChanged(level="warning", previous="unknown")
    assert story.decision.result.remaining == 60


def test_a_policy_that_a_response_leaves_out_goes_on_as_it_was():
    story = respond(given(), platform="example", headers={"RateLimit": '"s";r=9;t=1, "h";r=5;t=600'})
    story.later(2_000)
    respond(story, platform="example", headers={"RateLimit": '"s";r=8;t=1'})

    here = availability(known(story, "example"), 1, story.now)
    assert here.remaining == 5


def test_no_more_than_eight_policies_of_a_limit_are_kept_the_youngest_ones():
    story = given()
    for number in range(12):
        respond(story.later(1), platform="example", headers={"RateLimit": f'"p{number:02}";r=9;t=600'})

    assert [budget.policy for budget in known(story, "example").budgets] == [f"p{n:02}" for n in range(4, 12)]


def test_a_policy_that_is_not_spoken_of_for_a_day_is_forgotten():
    story = respond(given(), platform="example", headers={"RateLimit": '"old";r=0'})
    respond(story.later(24 * HOUR_MS), platform="example", headers={"RateLimit": '"new";r=5'})

    assert [budget.policy for budget in known(story, "example").budgets] == ["new"]


def test_a_reset_in_whole_seconds_from_now_does_not_make_a_window_of_each_response():
    story = given()
    kept = 0
    for step in range(50):
        # 300 ms apart, the seconds that are left are rounded up.
        left = -(-(60_000 - 300 * step) // 1000)
        headers = {"RateLimit-Limit": "1000", "RateLimit-Remaining": "900", "RateLimit-Reset": str(left)}
        respond(story, platform="example", headers=headers)
        kept += len(story.decision.events)
        story.later(300)

    assert kept == 1


def test_a_sliding_window_does_not_make_an_event_of_each_response():
    story = given()
    kept = 0
    for _ in range(50):
        headers = {"RateLimit-Limit": "1000", "RateLimit-Remaining": "900", "RateLimit-Reset": "60"}
        respond(story, platform="example", headers=headers)
        kept += len(story.decision.events)
        story.later(1_000)

    assert kept == 1


def test_a_platforms_own_warning_is_a_warning():
    story = respond(given(), platform="jira", headers={"X-RateLimit-NearLimit": "true"})

    assert known(story, "jira").level == "warning"


# Refusals


@pytest.mark.parametrize(
    "sent", [sent for sent in RESPONSES if sent.is_refusal], ids=lambda sent: sent.source
)
def test_after_a_platforms_refusal_no_call_is_allowed_until_it_says_so(sent: Response):
    story = Story().at(sent.at)
    body = {"platform": sent.platform, "status": sent.status, "headers": sent.headers}
    seen = story.when("rate_limits.observe_response", **body).decision.result

    resets = [one.get("reset_time") for one in sent.readings if one.get("remaining", 0) == 0]
    reset = max(filter(None, resets), default=None)
    expected = sent.retry_at or reset or sent.at + FIRST_WAIT_MS
    assert not seen.allowed
    # If the response has both a wait and a reset, the later one counts for the next call.
    assert seen.retry_at == max(expected, reset or 0)


@pytest.mark.parametrize("status", [403, 429])
def test_after_retry_after_calls_are_allowed_again(status: int):
    story = respond(given(), status=status, headers=github() | {"retry-after": "30"})

    assert throttled(story)[0].until == NOW + 30_000
    assert not availability(known(story), 1, NOW + 29_999).allowed
    assert availability(known(story), 1, NOW + 30_000).allowed


@pytest.mark.parametrize("status", [403, 429])
def test_with_nothing_left_the_wait_is_until_the_reset(status: int):
    story = respond(given(), status=status, headers=github(0))

    assert story.decision.result.retry_at == RESET
    assert availability(known(story), 1, RESET).remaining == 5_000


def test_retry_after_wins_over_a_reset():
    story = respond(given(), status=429, headers=github(0) | {"retry-after": "5"})

    assert throttled(story)[0].until == NOW + 5_000


def test_without_a_hint_each_further_refusal_doubles_the_wait_from_a_minute_to_an_hour():
    story = given()
    waits = []
    for _ in range(9):
        respond(story, status=403, headers=github())
        waits.append(story.decision.result.retry_at - story.now)
        story.at(story.decision.result.retry_at)

    assert waits == [MINUTE_MS * factor for factor in (1, 2, 4, 8, 16, 32, 60, 60, 60)]
    assert waits[-1] == LONGEST_WAIT_MS


def test_who_goes_on_calling_waits_longer():
    story = respond(given(), status=429)
    respond(story.later(BURST_MS), status=429)

    assert story.decision.result.retry_at == story.now + 2 * FIRST_WAIT_MS


def test_calls_that_were_under_way_together_are_one_refusal():
    story = respond(given(), status=429)
    for _ in range(20):
        respond(story.later(100), status=429).then_nothing()

    assert known(story, "github").throttled_until == NOW + FIRST_WAIT_MS


def test_together_refused_calls_that_are_told_different_waits_have_the_longest():
    story = respond(given(), status=429, headers={"retry-after": "5"})

    respond(story.later(10), status=429, headers={"retry-after": "4"}).then_nothing()
    respond(story.later(10), status=429, headers={"retry-after": "60"})
    assert known(story, "github").throttled_until == story.now + 60_000
    assert known(story, "github").refusals == 1


def test_a_call_that_is_refused_after_the_wait_is_a_further_refusal():
    story = respond(given(), status=429, headers={"retry-after": "1"})
    respond(story.later(1_000), status=429, headers={"retry-after": "1"})

    assert story.decision.result.retry_at == story.now + 1_000
    assert known(story, "github").refusals == 2


def test_after_an_answer_the_wait_begins_with_a_minute_again():
    story = respond(given(), status=403, headers=github())
    respond(story.later(FIRST_WAIT_MS), headers=github())
    assert known(story).refusals == 0

    respond(story.later(10_000), status=403, headers=github())
    assert story.decision.result.retry_at == story.now + FIRST_WAIT_MS


def test_a_refusal_long_after_the_last_wait_is_the_first_again():
    story = respond(given(), status=429)
    respond(story.later(2 * FIRST_WAIT_MS + 1), status=429)

    assert story.decision.result.retry_at == story.now + FIRST_WAIT_MS


def test_a_refusal_does_not_shorten_what_was_throttled_by_hand():
    story = given().when("rate_limits.throttle", platform="slack", until=NOW + HOUR_MS, reason="by hand")
    respond(story, platform="slack", status=429, headers={"Retry-After": "5"})

    assert story.decision.result.retry_at == NOW + HOUR_MS


def test_throttling_by_hand_does_not_begin_the_count_of_refusals_anew():
    story = respond(given(), status=429)
    story.when("rate_limits.throttle", platform="github", until=NOW + FIRST_WAIT_MS)
    respond(story.later(FIRST_WAIT_MS), status=429)

    assert story.decision.result.retry_at == story.now + 2 * FIRST_WAIT_MS


def test_a_refusal_that_is_heard_of_late_holds_calls_up_all_the_same():
    story = respond(given(), headers=github())
    respond(story, status=429, headers=github(4_100) | {"retry-after": "30"}, observed_at=NOW - 10)

    assert known(story).remaining == 4_000
    assert story.decision.result.retry_at == NOW - 10 + 30_000


def test_a_caller_may_deny_that_a_limit_was_the_reason():
    respond(given(), status=403, headers=github(), rate_limited=False).then(
        Observed(remaining=4_000, limit=5_000, used=1_000, reset_time=RESET, observed_at=NOW)
    )
    story = respond(given(), platform="linear", status=400, rate_limited=True)
    assert story.decision.result.retry_at == NOW + FIRST_WAIT_MS

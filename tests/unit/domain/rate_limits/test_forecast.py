"""When a budget runs out, if calls go on as they did."""

from typing import Any

import pytest

from domain.rate_limits.forecast import Forecast, forecast
from tests.support.clock import MINUTE_MS, NOW
from tests.support.domain.given_when_then import Story, given

KEY = "gitlab"


def burning(*counts: int, every_ms: int = MINUTE_MS, reset: int | None = NOW + 60 * MINUTE_MS) -> Story:
    """A limit of 1,000 that was observed with these counts, the first one now."""
    story = given()
    for index, remaining in enumerate(counts):
        story.at(NOW + index * every_ms)
        said = {"remaining": remaining, "limit": 1000} | ({} if reset is None else {"reset_time": reset})
        story.when("rate_limits.observe", platform=KEY, **said)
    return story


def foreseen(story: Story) -> Forecast:
    return forecast(story.state("rate_limits", KEY), story.now)


def test_of_what_nobody_has_spoken_of_nothing_is_foreseen():
    assert forecast(None, NOW) == Forecast(
        burn_rate=None, runs_out_at=None, runs_out_before_reset=None, reset_time=None, remaining=None,
        limit=None, policy="", level="unknown", stale=True,
    )  # fmt: skip


def test_one_observation_is_no_rate():
    seen = foreseen(burning(1000))

    assert (seen.burn_rate, seen.runs_out_at, seen.runs_out_before_reset) == (None, None, None)
    assert (seen.remaining, seen.limit, seen.level) == (1000, 1000, "normal")


def test_the_rate_is_in_calls_a_minute_over_the_observations_of_the_window():
    seen = foreseen(burning(1000, 880, 800))

    assert seen.burn_rate == 100
    assert seen.runs_out_at == NOW + 2 * MINUTE_MS + 8 * MINUTE_MS
    assert seen.runs_out_before_reset is True


@pytest.mark.parametrize(
    ("reset", "before"), [(NOW + 9 * MINUTE_MS, False), (NOW + 11 * MINUTE_MS, True), (None, None)]
)
def test_running_out_before_the_reset_is_told_apart_from_after(reset: int | None, before: bool | None):
    assert foreseen(burning(1000, 900, reset=reset)).runs_out_before_reset is before


def test_the_estimate_stands_as_time_passes_and_never_lies_in_the_past():
    story = burning(1000, 900)
    foreseen_at = foreseen(story).runs_out_at

    assert foreseen(story.later(MINUTE_MS)).runs_out_at == foreseen_at
    assert foreseen(story.at(NOW + 30 * MINUTE_MS)).runs_out_at == story.now


def test_a_budget_that_is_not_used_does_not_run_out():
    seen = foreseen(burning(1000, 1000))

    assert (seen.burn_rate, seen.runs_out_at, seen.runs_out_before_reset) == (0, None, False)


def test_a_budget_that_is_spent_has_run_out():
    seen = foreseen(burning(1000, 0))

    assert (seen.runs_out_at, seen.runs_out_before_reset) == (NOW + MINUTE_MS, True)


def test_a_new_window_begins_a_new_rate():
    story = burning(1000, 100)
    story.at(NOW + 2 * MINUTE_MS)
    later: dict[str, Any] = {"limit": 1000, "reset_time": NOW + 120 * MINUTE_MS}
    story.when("rate_limits.observe", platform=KEY, remaining=990, **later)
    assert foreseen(story).burn_rate is None

    story.later(MINUTE_MS).when("rate_limits.observe", platform=KEY, remaining=980, **later)
    assert foreseen(story).burn_rate == 10


def test_after_the_reset_a_full_budget_burns_as_the_last_one_did():
    story = burning(1000, 900, reset=NOW + 5 * MINUTE_MS).at(NOW + 5 * MINUTE_MS)

    seen = foreseen(story)
    assert (seen.remaining, seen.runs_out_at) == (1000, story.now + 10 * MINUTE_MS)
    assert seen.runs_out_before_reset is None


def test_the_policy_that_runs_out_first_is_the_one_foreseen():
    story = given()
    for minute in range(3):
        headers = {
            "RateLimit": f'"short";r={900 - 100 * minute};t=3000, "long";r={800 - minute};t=3000',
            "RateLimit-Policy": '"short";q=1000;w=3600, "long";q=1000;w=86400',
        }
        story.when("rate_limits.observe_response", platform=KEY, status=200, headers=headers)
        story.later(MINUTE_MS)

    assert (foreseen(story).policy, foreseen(story).burn_rate) == ("short", 100)


def test_reservations_do_not_disturb_the_rate():
    story = burning(1000)
    for remaining in (900, 800):
        story.when("rate_limits.reserve", platform=KEY, cost=300, reservation="r")
        story.later(MINUTE_MS)
        story.when("rate_limits.observe", platform=KEY, remaining=remaining, reservation="r")

    assert foreseen(story).burn_rate == 100


def test_only_the_last_twelve_observations_make_the_rate():
    story = burning(*range(1000, 400, -50), 399, 398)

    assert len(story.state("rate_limits", KEY).budgets[0].samples) == 12
    assert foreseen(story).burn_rate == pytest.approx((900 - 398) / 11, abs=0.001)

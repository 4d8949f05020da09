"""Calls set aside for one of several workers, told as stories."""

from typing import Any

import pytest

from domain.messages import Event
from domain.rate_limits.availability import availability
from domain.rate_limits.messages import LevelChanged, Observed, Released, Reserved, Throttled
from domain.rate_limits.reserving import MAXIMUM_RESERVATIONS
from domain.rate_limits.state import ASSUMED_WINDOW_MS, RateLimit
from tests.support.clock import NOW
from tests.support.domain.given_when_then import Story, given

KEY = "gitlab"
RESET = NOW + 3_600_000


def observed(remaining: int | None = 50, **changes: Any) -> Observed:
    used = None if remaining is None else 100 - remaining
    said = {"remaining": remaining, "limit": 100, "used": used, "reset_time": RESET, "observed_at": NOW}
    return Observed(**(said | changes))


def known(*events: Event) -> Story:
    return given(*(events or (observed(),)), key=KEY)


def reserve(story: Story, reservation: str = "a", **body: Any) -> Any:
    story.when("rate_limits.reserve", platform=KEY, reservation=reservation, **body)
    return story.decision.result


def release(story: Story, reservation: str = "a", **body: Any) -> Story:
    return story.when("rate_limits.release", platform=KEY, reservation=reservation, **body)


def observe(story: Story, **said: Any) -> Story:
    return story.when("rate_limits.observe", platform=KEY, **said)


def remaining(story: Story) -> int | None:
    state: RateLimit = story.state("rate_limits", KEY)
    return availability(state, 1, story.now).remaining


# Granting


def test_a_reservation_counts_against_what_remains():
    story = known()
    grant = reserve(story, cost=20)

    story.then(Reserved(reservation="a", cost=20, expires_at=NOW + 60_000))
    assert (grant.granted, grant.reservation, grant.expires_at, grant.remaining) == (
        True, "a", NOW + 60_000, 30,
    )  # fmt: skip
    assert story.state("rate_limits", KEY).remaining == 50


def test_more_than_remains_is_not_granted_and_no_event():
    story = known()
    reserve(story, cost=30)

    refusal = reserve(story, "b", cost=21, ttl_ms=1_000)
    story.then_nothing()
    assert (refusal.granted, refusal.reservation, refusal.remaining) == (False, None, 20)
    assert reserve(story, "b", cost=20).granted


def test_a_refused_worker_is_told_when_enough_runs_out_or_the_window_ends():
    story = known()
    reserve(story, "a", cost=25, ttl_ms=10_000)
    reserve(story, "b", cost=25, ttl_ms=20_000)

    assert reserve(story, "c", cost=25).retry_at == NOW + 10_000
    assert reserve(story, "c", cost=50).retry_at == NOW + 20_000
    assert reserve(story, "c", cost=51).retry_at == RESET
    assert reserve(story, "c", cost=101).retry_at is None


def test_nothing_is_granted_while_throttled():
    story = known(observed(), Throttled(until=NOW + 10))

    assert (reserve(story).granted, reserve(story).retry_at) == (False, NOW + 10)
    assert reserve(story.later(10)).granted


def test_as_long_as_nobody_has_said_what_remains_everything_is_granted():
    story = given()

    assert reserve(story, "a", cost=1_000_000).granted
    assert reserve(story, "b", cost=1_000_000).granted
    assert reserve(story, "b", cost=1_000_000).level == "unknown"


def test_a_reservation_without_an_id_gets_one():
    story = known().when("rate_limits.reserve", platform=KEY)

    assert story.decision.result.reservation == "id-1"


def test_the_same_reservation_again_is_the_same_and_another_under_its_id_is_refused():
    story = known()
    first = reserve(story, cost=20)

    assert reserve(story.later(5), cost=20) == first
    story.then_nothing()
    story.when("rate_limits.reserve", platform=KEY, reservation="a", cost=21).then_refused(
        "already_exists", cost=20
    )


def test_the_number_of_reservations_has_a_limit():
    story = known(observed(None, limit=None))
    for number in range(MAXIMUM_RESERVATIONS):
        reserve(story, f"r{number}", ttl_ms=1_000 + number)

    story.when("rate_limits.reserve", platform=KEY).then_refused(
        "refused", rule="too_many_reservations", retry_at=NOW + 1_000
    )
    assert reserve(story.later(1_000), "one-more").granted
    assert len(story.state("rate_limits", KEY).reservations) == MAXIMUM_RESERVATIONS


def test_a_reservation_counts_in_the_window_in_which_it_is_out():
    story = known().at(RESET - 1_000)
    reserve(story, cost=50)

    assert remaining(story.at(RESET)) == 50


# Ending


def test_what_is_released_is_there_again():
    story = known()
    reserve(story, cost=20)

    release(story).then(Released(reservation="a"))
    assert remaining(story) == 50


def test_calls_that_were_made_are_taken_from_what_remains():
    story = known()
    reserve(story, cost=20)

    release(story, used=5).then(Released(reservation="a", used=5))
    assert remaining(story) == 45
    assert reserve(story, cost=45).granted


def test_calls_that_were_made_may_change_the_level():
    story = known()
    reserve(story, cost=50)

    release(story, used=30).then(
        Released(reservation="a", used=30), LevelChanged(level="warning", previous="normal")
    )


def test_calls_made_after_the_reset_begin_a_window_that_ends_an_hour_later_unless_somebody_knows():
    story = known().at(RESET + 5)
    reserve(story, cost=100)
    release(story, used=100)

    refusal = reserve(story, "b")
    assert (refusal.granted, refusal.retry_at) == (False, RESET + 5 + ASSUMED_WINDOW_MS)
    observe(story.later(1), remaining=90, reset_time=RESET + 60_000)
    assert reserve(story, "b", cost=90).granted


def test_releasing_twice_or_what_never_was_changes_nothing():
    story = known()
    reserve(story, cost=20)
    release(story, used=5)

    release(story, used=5).then_nothing()
    release(story, "never").then_nothing()
    release(given()).then_nothing()


@pytest.mark.parametrize(("later", "left"), [(59_999, 30), (60_000, 50)])
def test_a_reservation_runs_out_by_itself(later: int, left: int):
    story = known()
    reserve(story, cost=20)

    assert remaining(story.later(later)) == left


def test_what_ran_out_and_was_used_all_the_same_is_taken_from_what_remains():
    story = known()
    reserve(story, cost=20)

    release(story.later(60_000), used=20)
    assert remaining(story) == 30


# Confirming


def test_an_observation_that_names_a_reservation_ends_it_however_small_the_change():
    story = known()
    reserve(story, cost=2)

    observe(story, remaining=48, reservation="a").then(observed(48, reservation="a"))
    assert remaining(story) == 48


def test_an_observation_that_names_none_leaves_reservations_as_they_are():
    story = known()
    reserve(story, cost=20)

    observe(story, remaining=40)
    assert remaining(story) == 20


def test_a_reservation_that_is_not_out_any_more_is_confirmed_without_an_effect():
    observe(known(), remaining=49, reservation="never").then_nothing()


def test_a_late_confirmation_takes_nothing_back_and_gives_nothing_twice():
    story = known()
    reserve(story, "a", cost=20)
    reserve(story, "b", cost=20)
    observe(story.later(10), remaining=10, reservation="b")

    observe(story, remaining=30, reservation="a", observed_at=NOW + 5)
    assert remaining(story) == 10
    assert story.state("rate_limits", KEY).reservations == ()


def test_fewer_calls_count_though_they_are_confirmed_late():
    story = known()
    reserve(story, "a", cost=20)
    reserve(story, "b", cost=20)
    observe(story.later(10), remaining=30, reservation="b")

    observe(story, remaining=10, reservation="a", observed_at=NOW + 5)
    assert remaining(story) == 10


def test_a_response_may_not_have_counted_calls_that_were_released_before_it_came():
    story = known()
    reserve(story, "a", cost=20)
    reserve(story, "b", cost=10)
    release(story, "b", used=10)

    # Of 50, before the calls of b.
    observe(story, remaining=30, reservation="a")
    assert remaining(story) == 20


def test_a_response_may_not_have_counted_calls_whose_response_did_not_tell_of_its_policy():
    both = {"RateLimit": '"second";r=9;t=1, "hour";r=50;t=600'}
    story = given()
    story.when("rate_limits.observe_response", platform=KEY, status=200, headers=both)
    reserve(story, "a", cost=3)
    reserve(story, "b", cost=2)
    for reservation, said in (("b", '"second";r=4;t=1'), ("a", '"second";r=6;t=1, "hour";r=47;t=600')):
        story.when(
            "rate_limits.observe_response",
            platform=KEY,
            status=200,
            headers={"RateLimit": said},
            reservation=reservation,
        )

    budgets = {one.policy: one.remaining for one in story.state("rate_limits", KEY).budgets}
    assert budgets == {"second": 4, "hour": 45}


def test_a_confirmation_of_the_window_before_does_not_fill_the_present_one():
    story = known().at(RESET - 10)
    reserve(story, cost=20)
    observe(story.at(RESET + 10), remaining=60, limit=100, reset_time=RESET + 3_600_000)

    for at in (RESET - 5, RESET + 15):
        again = story.copy().at(RESET + 15)
        observe(again, remaining=30, limit=100, reset_time=RESET, observed_at=at, reservation="a")
        assert remaining(again) == 60


def test_a_response_that_says_nothing_of_limits_still_says_that_the_calls_were_made():
    story = known()
    reserve(story, cost=20)

    story.when("rate_limits.observe_response", platform=KEY, status=200, headers={}, reservation="a")
    story.then(Released(reservation="a", used=20))
    assert remaining(story) == 30


def test_policies_of_which_a_confirmation_does_not_speak_have_lost_the_calls_too():
    both = {"RateLimit": '"second";r=9;t=1, "hour";r=50;t=600'}
    story = given()
    story.when("rate_limits.observe_response", platform=KEY, status=200, headers=both)
    reserve(story, cost=5)

    one = {"RateLimit": '"second";r=4;t=1'}
    story.when("rate_limits.observe_response", platform=KEY, status=200, headers=one, reservation="a")
    budgets = {one.policy: one.remaining for one in story.state("rate_limits", KEY).budgets}
    assert budgets == {"second": 4, "hour": 45}


def test_a_confirmation_that_does_not_say_what_remains_takes_the_calls():
    story = known()
    reserve(story, cost=20)

    observe(story, limit=100, reservation="a").then(observed(30, reservation="a"))
    assert remaining(story) == 30


def test_once_calls_are_reserved_each_observation_of_fewer_calls_is_kept():
    observe(known(), remaining=49).then_nothing()
    story = known()
    reserve(story)

    observe(story, remaining=49).then(observed(49))
    observe(story, remaining=50).then_nothing()

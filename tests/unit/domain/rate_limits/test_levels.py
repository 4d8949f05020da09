"""The state of a limit between observations: windows, levels, staleness, availability."""

from typing import Any

import pytest

from domain.messages import Event
from domain.rate_limits.availability import STALE_AFTER_MS, Availability, availability
from domain.rate_limits.messages import LevelChanged, Observed, ThresholdsSet, Throttled
from domain.rate_limits.reading import Reading
from domain.rate_limits.state import RateLimit
from tests.support.clock import NOW
from tests.support.domain.given_when_then import Story, given

KEY = "gitlab"
RESET = NOW + 3_600_000


def observed(remaining: int | None = 500, **changes: Any) -> Observed:
    used = None if remaining is None else 1000 - remaining
    said = {"remaining": remaining, "limit": 1000, "used": used, "reset_time": RESET, "observed_at": NOW}
    return Observed(**(said | changes))


def known(*events: Event) -> Story:
    return given(*(events or (observed(),)), key=KEY)


def state(story: Story) -> RateLimit:
    found: RateLimit = story.state("rate_limits", KEY)
    return found


def observe(story: Story, **said: Any) -> Story:
    return story.when("rate_limits.observe", platform=KEY, **said)


def here(story: Story, cost: int = 1) -> Availability:
    return availability(state(story), cost, story.now)


# Observations that leave values out


def test_an_observation_keeps_what_it_does_not_mention_of_the_same_window():
    observe(known(), remaining=400).then(observed(400))
    observe(known(), used=600).then(observed(400))
    observe(known().later(60_000), limit=1000).then(observed(observed_at=NOW + 60_000))
    observe(known().later(60_000), reset_time=RESET).then(observed(observed_at=NOW + 60_000))


def test_after_the_reset_only_the_limit_is_kept():
    story = known().at(RESET)

    observe(story, remaining=999).then(Observed(remaining=999, limit=1000, used=1, observed_at=RESET))


def test_a_new_window_brings_nothing_of_the_old_one_but_the_limit():
    observe(known(), reset_time=RESET + 3_600_000).then(
        Observed(limit=1000, reset_time=RESET + 3_600_000, observed_at=NOW),
        LevelChanged(level="unknown", previous="normal"),
    )


def test_more_calls_than_the_known_limit_show_that_it_is_another():
    observe(known(), remaining=4_000).then(
        Observed(remaining=4_000, reset_time=RESET, observed_at=NOW),
        LevelChanged(level="unknown", previous="normal"),
    )


# Sources that take turns


@pytest.mark.parametrize(
    "other",
    [
        {"remaining": 501},
        {"remaining": 500, "limit": 1000, "reset_time": RESET + 7_000},
        {"remaining": 30, "limit": 60, "reset_time": RESET - 9_000},
        {"remaining": 0, "limit": 60, "reset_time": RESET - 9_000},
    ],
)
def test_two_sources_that_take_turns_do_not_make_an_event_each(other: dict[str, Any]):
    story = known()
    kept = 0
    for step in range(50):
        said = other if step % 2 == 0 else {"remaining": 500, "limit": 1000, "reset_time": RESET}
        observe(story.later(100), **said)
        kept += sum(isinstance(event, Observed) for _, event in story.decision.events)

    assert kept <= 2


def test_what_changes_with_one_of_two_sources_is_kept():
    other = {"limit": 60, "reset_time": RESET - 9_000}
    story = observe(known(), remaining=30, **other)
    observe(story, remaining=500, limit=1000, reset_time=RESET).then_nothing()

    observe(story, remaining=400, limit=1000, reset_time=RESET)
    assert state(story).remaining == 400
    observe(story, remaining=29, **other).then_nothing()
    observe(story, remaining=20, **other)
    assert state(story).remaining == 20


# Levels


@pytest.mark.parametrize(
    ("remaining", "level"),
    [(1000, "normal"), (201, "normal"), (200, "warning"), (51, "warning"), (50, "critical"), (0, "critical")],
)
def test_the_level_follows_from_the_share_that_is_used(remaining: int, level: str):
    story = observe(given(), remaining=remaining, limit=1000)

    assert state(story).level == here(story).level == level


@pytest.mark.parametrize("said", [{"remaining": 5}, {"limit": 5}, {"used": 5}, {"reset_time": RESET}])
def test_the_level_is_unknown_where_limit_or_what_remains_is(said: dict[str, int]):
    assert state(observe(given(), **said)).level == "unknown"


def test_nothing_left_is_critical_even_of_an_unknown_limit():
    assert state(observe(given(), remaining=0)).level == "critical"
    assert state(observe(given(), remaining=0, limit=0)).level == "critical"


def test_a_change_of_level_is_an_event_however_small_the_change():
    story = known(observed(201))

    observe(story, remaining=200).then(observed(200), LevelChanged(level="warning", previous="normal"))
    observe(story, remaining=199).then_nothing()
    observe(story, remaining=201).then(observed(201), LevelChanged(level="normal", previous="warning"))


def test_a_limit_that_is_normal_from_the_start_has_not_changed():
    observe(given(), remaining=500, limit=1000, reset_time=RESET).then(observed())
    observe(given(), remaining=50, limit=1000, reset_time=RESET).then(
        observed(50), LevelChanged(level="critical", previous="unknown")
    )


def test_a_limit_that_becomes_known_has_changed():
    story = observe(given(), remaining=500)

    observe(story, remaining=500, limit=1000, reset_time=RESET).then(
        observed(), LevelChanged(level="normal", previous="unknown")
    )


def test_thresholds_are_those_of_the_limit():
    story = known().when("rate_limits.set_thresholds", platform=KEY, warning_percent=40, critical_percent=90)

    story.then(
        ThresholdsSet(warning_percent=40, critical_percent=90),
        LevelChanged(level="warning", previous="normal"),
    )
    assert here(story).level == "warning"
    observe(story, remaining=100).then(observed(100), LevelChanged(level="critical", previous="warning"))


def test_the_same_thresholds_again_change_nothing():
    story = given().when("rate_limits.set_thresholds", platform=KEY, warning_percent=50)

    story.then(ThresholdsSet(warning_percent=50, critical_percent=95))
    story.when("rate_limits.set_thresholds", platform=KEY, warning_percent=50).then_nothing()
    known().when("rate_limits.set_thresholds", platform=KEY).then_nothing()


def test_a_warning_after_the_critical_level_is_invalid():
    given().when("rate_limits.set_thresholds", platform=KEY, warning_percent=96).then_refused(
        "invalid", path="$.warning_percent"
    )


# Availability


def test_what_nobody_has_spoken_of_is_allowed_and_unknown():
    assert availability(None, 1, NOW) == Availability(
        allowed=True, retry_at=None, remaining=None, level="unknown", stale=True
    )


@pytest.mark.parametrize(("cost", "allowed"), [(1, True), (500, True), (501, False)])
def test_calls_are_allowed_as_far_as_they_remain(cost: int, allowed: bool):
    answer = here(known(), cost)

    assert (answer.allowed, answer.retry_at) == (allowed, None if allowed else RESET)
    assert answer.remaining == 500


def test_more_calls_than_the_limit_are_never_allowed():
    assert here(known(), 1001) == Availability(
        allowed=False, retry_at=None, remaining=500, level="normal", stale=False
    )


def test_after_the_reset_the_budget_is_full_or_unknown():
    assert here(known(observed(0)).at(RESET - 1)).allowed is False
    full = here(known(observed(0)).at(RESET))
    assert (full.allowed, full.remaining, full.level) == (True, 1000, "normal")

    unknown = here(known(observed(0, limit=None, used=None)).at(RESET))
    assert (unknown.allowed, unknown.remaining, unknown.level) == (True, None, "unknown")


def test_an_observation_is_stale_after_five_minutes():
    assert not here(known().later(STALE_AFTER_MS)).stale
    assert here(known().later(STALE_AFTER_MS + 1)).stale
    assert here(known().later(STALE_AFTER_MS + 1)).remaining == 500


def test_a_spent_budget_of_which_nobody_knows_the_reset_holds_calls_up_for_five_minutes():
    story = known(observed(0, reset_time=None))

    answer = here(story)
    assert not answer.allowed
    assert answer.retry_at == NOW + STALE_AFTER_MS + 1
    assert here(story.at(answer.retry_at)).allowed


def test_while_throttled_nothing_is_allowed():
    story = known(observed(), Throttled(until=NOW + 10))

    assert (here(story).allowed, here(story).retry_at, here(story).remaining) == (False, NOW + 10, 500)
    assert here(story.later(10)).allowed


def test_the_later_of_a_wait_and_a_reset_counts():
    story = known(observed(0), Throttled(until=NOW + 10))
    assert here(story).retry_at == RESET

    story = known(observed(0), Throttled(until=RESET + 10))
    assert here(story).retry_at == RESET + 10


def test_the_policy_that_binds_changes_with_the_time():
    both = Observed(
        policy="second", remaining=0, limit=10, reset_time=NOW + 1_000, observed_at=NOW,
        others=(Reading(policy="hour", remaining=5, limit=1000, reset_time=RESET),),
    )  # fmt: skip
    story = known(both)

    assert (here(story).allowed, here(story).retry_at) == (False, NOW + 1_000)
    later = here(story.later(1_000))
    assert (later.allowed, later.remaining) == (True, 5)
    assert here(story, 6).retry_at == RESET
    assert here(story, 11).retry_at is None
    assert here(story, 5).allowed

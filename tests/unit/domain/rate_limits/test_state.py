import msgspec
import pytest

from domain.messages import Event, Recorded
from domain.rate_limits import evolving, messages
from domain.rate_limits.merging import COALESCE_MS
from domain.rate_limits.messages import Cleared, LevelChanged, Observed, Throttled, key_of, parts_of
from domain.rate_limits.observing import MAXIMUM_CLOCK_LEAD_MS
from tests.support.clock import NOW
from tests.support.domain.given_when_then import Story, given

KEY = "github:core"
HERE = {"platform": "github", "resource": "core"}
RESET = NOW + 3_600_000
WINDOW = {"limit": 1000, "reset_time": RESET}


def observed(remaining: int = 500, **changes) -> Observed:
    said = {"remaining": remaining, "limit": 1000, "used": 1000 - remaining, "reset_time": RESET}
    return Observed(**(said | {"observed_at": NOW} | changes))


def known(*events: Event) -> Story:
    return given(*(events or (observed(),)), key=KEY)


# Keys


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        ({"platform": "github"}, "github"),
        ({"platform": "github", "resource": "core"}, "github:core"),
        ({"platform": "github", "identifier": "me", "resource": "core"}, "github:me:core"),
    ],
)
def test_a_key_is_made_of_its_parts_and_falls_into_them_again(parts, key):
    command = messages.Clear(**parts)

    assert key_of(command) == key
    assert parts_of(key) == (parts["platform"], parts.get("resource"), parts.get("identifier"))


@pytest.mark.parametrize("key", ["a:b:c:d", "a:b:c:d:e"])
def test_a_key_of_more_parts_is_none(key: str):
    with pytest.raises(ValueError, match="not the key"):
        parts_of(key)


@pytest.mark.parametrize("verb", ["observe", "throttle", "clear"])
def test_an_identifier_needs_a_resource(verb: str):
    body = {"observe": {"remaining": 1}, "throttle": {"until": NOW}, "clear": {}}[verb]

    given().when(f"rate_limits.{verb}", platform="github", identifier="me", **body).then_refused(
        "invalid", path="$.resource"
    )


@pytest.mark.parametrize("part", ["a:b", "", ".a", "a.", "a..b", "a b", "ä", "x" * 65, "a\n"])
@pytest.mark.parametrize("name", ["platform", "resource", "identifier"])
def test_a_part_is_a_key_without_colons(name: str, part: str):
    body = HERE | {"identifier": "me"} | {name: part}

    with pytest.raises(msgspec.ValidationError, match=name):
        given().when("rate_limits.clear", **body)


# Observe


def test_the_first_observation_is_kept():
    given().when("rate_limits.observe", **HERE, remaining=500, **WINDOW).then(observed())


@pytest.mark.parametrize(
    ("said", "completed"),
    [
        ({"remaining": 400, "limit": 1000}, (400, 1000, 600)),
        ({"used": 600, "limit": 1000}, (400, 1000, 600)),
        ({"used": 600, "remaining": 400}, (400, 1000, 600)),
        ({"used": 1200, "limit": 1000}, (0, 1000, 1200)),
        ({"remaining": 1200, "limit": 1000}, (1200, 1000, 0)),
        ({"remaining": 400, "limit": 900, "used": 1}, (400, 900, 1)),
        ({"remaining": 400}, (400, None, None)),
        ({"limit": 1000}, (None, 1000, None)),
        ({"used": 7}, (None, None, 7)),
    ],
)
def test_any_two_of_three_counts_give_the_third(said, completed):
    remaining, limit, used = completed

    story = given().when("rate_limits.observe", **HERE, **said)

    _, event = story.decision.events[0]
    assert event == Observed(remaining=remaining, limit=limit, used=used, observed_at=NOW)


def test_an_observation_that_says_nothing_is_invalid():
    given().when("rate_limits.observe", **HERE).then_refused("invalid", path="$")
    given().when("rate_limits.observe", **HERE, observed_at=NOW).then_refused("invalid", path="$")


def test_an_observation_from_the_future_is_invalid():
    ahead = NOW + MAXIMUM_CLOCK_LEAD_MS
    given().when("rate_limits.observe", **HERE, remaining=1, observed_at=ahead).then(
        Observed(remaining=1, observed_at=ahead)
    )
    given().when("rate_limits.observe", **HERE, remaining=1, observed_at=ahead + 1).then_refused(
        "invalid", path="$.observed_at"
    )


def test_stale_data_is_not_kept():
    story = given().when("rate_limits.observe", **HERE, remaining=1, data_fresh=False).then_nothing()

    assert story.state("rate_limits", KEY) is None


def test_an_observation_older_than_the_last_one_is_ignored():
    known().when("rate_limits.observe", **HERE, remaining=1, observed_at=NOW - 1).then_nothing()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"remaining": 500}, False),
        ({"remaining": 451}, False),
        ({"remaining": 450}, True),
        ({"remaining": 549}, False),
        ({"remaining": 550}, True),
        ({"remaining": 0}, True),
        ({"remaining": 500, "limit": 2000}, True),
        ({"remaining": 500, "reset_time": RESET + 1}, True),
    ],
)
def test_an_observation_is_kept_if_it_shows_another_window_or_a_change_of_five_percent(said, kept):
    story = known().when("rate_limits.observe", **HERE, **WINDOW | said)

    assert [type(event) for _, event in story.decision.events if not isinstance(event, LevelChanged)] == (
        [Observed] if kept else []
    )


def test_the_last_call_and_the_first_one_again_are_kept_however_small_the_change():
    known(observed(3)).when("rate_limits.observe", **HERE, remaining=0, **WINDOW).then(observed(0))
    known(observed(0)).when("rate_limits.observe", **HERE, remaining=1, **WINDOW).then(observed(1))


def test_an_observation_is_kept_once_the_last_one_is_a_minute_old():
    story = known().later(COALESCE_MS - 1).when("rate_limits.observe", **HERE, remaining=500, **WINDOW)
    story.then_nothing()
    story.later(1).when("rate_limits.observe", **HERE, remaining=500, **WINDOW)
    story.then(observed(observed_at=NOW + COALESCE_MS))


def test_small_changes_are_kept_once_they_add_up():
    story = known()
    kept = 0
    for remaining in range(499, 399, -1):
        story.when("rate_limits.observe", **HERE, remaining=remaining, **WINDOW)
        kept += len(story.decision.events)

    assert kept == 2
    assert story.state("rate_limits", KEY).remaining == 400


def test_without_a_limit_each_change_is_kept():
    story = known(Observed(remaining=5, observed_at=NOW))

    story.when("rate_limits.observe", **HERE, remaining=5).then_nothing()
    story.when("rate_limits.observe", **HERE, remaining=4).then(Observed(remaining=4, observed_at=NOW))


def test_the_first_observation_after_a_throttling_is_kept():
    known(Throttled(until=RESET)).when("rate_limits.observe", **HERE, remaining=500, **WINDOW).then(
        observed()
    )


# Throttle, clear


def test_throttling_stays_beside_what_was_observed():
    story = known().when("rate_limits.throttle", **HERE, until=RESET, reason="429")

    story.then(Throttled(until=RESET, reason="429"))
    limit = story.state("rate_limits", KEY)
    assert (limit.remaining, limit.throttled_until, limit.throttle_reason) == (500, RESET, "429")


def test_the_same_throttling_again_changes_nothing():
    story = known(Throttled(until=RESET, reason="429"))

    story.when("rate_limits.throttle", **HERE, until=RESET, reason="429").then_nothing()
    story.when("rate_limits.throttle", **HERE, until=RESET + 1, reason="429").then(
        Throttled(until=RESET + 1, reason="429")
    )


def test_a_cleared_limit_is_unknown_and_may_be_observed_again():
    story = known().when("rate_limits.clear", **HERE).then(Cleared())
    story.when("rate_limits.clear", **HERE).then_refused("not_found")
    story.when("rate_limits.observe", **HERE, remaining=500, observed_at=1, **WINDOW).then(
        observed(observed_at=1)
    )
    story.when("rate_limits.clear", platform="gitlab").then_refused("not_found")


def test_the_times_of_a_limit_are_those_of_its_events():
    story = known().later(1).given(Throttled(until=RESET), key=KEY)
    limit = story.state("rate_limits", KEY)

    assert (limit.created_at, limit.updated_at, limit.observed_at) == (NOW, NOW + 1, NOW)


def test_events_of_older_logs_say_all_that_is_known_of_their_window():
    limit = known(observed(), Observed(remaining=3, observed_at=NOW + 1)).state("rate_limits", KEY)

    (budget,) = limit.budgets
    assert (budget.remaining, budget.limit, budget.used, budget.reset_time) == (3, None, None, None)
    assert (limit.level, limit.warning_percent, limit.critical_percent) == ("unknown", 80, 95)


def test_a_foreign_event_is_not_taken_for_one_of_a_rate_limit():
    class Strange(Event, frozen=True, kw_only=True):
        pass

    with pytest.raises(TypeError):
        evolving.evolve(None, Recorded(1, KEY, 1, NOW, Strange()))

"""Each verb declares exactly the events, refusals, rules and results that it can lead to.

Each story asserts by itself that nothing undeclared happens, and so does every generated history. These tests
assert the rest: all that is declared happens in the histories or, where chance is too slow, in a story.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple, cast, get_args

import msgspec
import pytest

from domain import app_state, jobs, tool_configs
from domain.catalogue import DECIDERS, VERBS
from domain.jobs import events, limits
from domain.jobs.groups import AwaitedGroup, GroupOutcome
from domain.json_schema import BATCH_NS
from domain.messages import Event
from domain.rate_limits.job_calls import JobBudget
from domain.rate_limits.reserving import MAXIMUM_RESERVATIONS
from tests.support.clock import NOW
from tests.support.documents.job_states import Move, TriedVerb
from tests.support.domain.generated_histories import Chance, Group, Later, Wish
from tests.support.domain.given_when_then import KEY, TOKEN, Story, declared, given
from tests.support.domain.job_states import BODIES, NOT_ITS_OWN, everything_tried, moves_of, outcomes_of
from tests.support.stores.life import Telling

every_verb = cast("dict[str, Any]", VERBS)
TOOL = {"tool_name": "t"}
# Verbs whose effect on their own job is in the table of states.
TRIED = {f"jobs.{name}" for name in BODIES if name not in NOT_ITS_OWN}
# Larger than any value in the histories.
HUGE = {"a": "x" * 300_000}
# A schema with which a document may have a few kilobytes.
HEAVY = {"additionalProperties": {"pattern": "(a|b)*a(a|b){200}c"}}
# A schema that an older version accepted.
OUTDATED = tool_configs.messages.SchemaRegistered(schema={"pattern": "(?=a)"})


def a_job(**changes: Any) -> events.Enqueued:
    said: dict[str, Any] = {"type": "mail", "name": "A mail", "run_at": NOW}
    return events.Enqueued(**said | changes)


def running(**changes: Any) -> Story:
    return given(a_job(**changes), events.Claimed(worker="w", attempt=1)).leased()


def awaited(story: Story, on_failure: str) -> Story:
    """The same, with another job that waits for the one of the story."""
    waiting = a_job(depends_on=(KEY,), waiting_for=(KEY,), on_dependency_failure=on_failure)
    return story.given(waiting, key="other")


def followed(story: Story) -> Story:
    """The same, with others that wait for its group, each for something else."""
    for when in get_args(GroupOutcome):
        story.given(a_job(after_group=AwaitedGroup(id="g", when=when)), key=when)
    return story


def reserved_often() -> Story:
    story = given()
    for _ in range(MAXIMUM_RESERVATIONS):
        story.when("rate_limits.reserve", platform="github")
    return story.when("rate_limits.reserve", platform="github")


def released_after_most_calls() -> Story:
    here = {"platform": "github"}
    story = given().when("rate_limits.observe", **here, remaining=50, limit=100)
    story.when("rate_limits.reserve", **here, reservation="r", cost=45)
    return story.when("rate_limits.release", **here, reservation="r", used=45)


def configured(config: dict[str, Any]) -> Story:
    return given().when("tool_configs.set", **TOOL, config=config)


def rolled_back_to_what_no_longer_validates() -> Story:
    story = configured({}).when("tool_configs.set", **TOOL, config={"a": 1})
    story.when("tool_configs.register_schema", **TOOL, schema={"required": ["a"]})
    return story.when("tool_configs.rollback", **TOOL, to_version=1)


def rolled_back_under_a_heavy_schema() -> Story:
    story = configured({"a": "x" * 100_000}).when("tool_configs.delete", **TOOL)
    story.when("tool_configs.register_schema", **TOOL, schema=HEAVY)
    return story.when("tool_configs.rollback", **TOOL, to_version=1)


def under_a_schema_that_was_taken_once() -> Iterator[Story]:
    bodies: dict[str, dict[str, Any]] = {
        "set": {"config": {"a": 1}},
        "patch": {"patch": {"a": 1}},
        "validate": {"config": {}},
        "rollback": {"to_version": 1},
    }
    for verb, body in bodies.items():
        first = tool_configs.messages.ConfigSet(config={"a": 2})
        story = given(first, tool_configs.messages.ConfigSet(config={}), OUTDATED, key="t")
        yield story.when(f"tool_configs.{verb}", **TOOL, **body)


def in_a_batch_that_has_made_all_its_work() -> Iterator[Story]:
    bodies: dict[str, dict[str, Any]] = {
        "enable": {},
        "disable": {},
        "set_notifications": {"notifications": False},
        "set_refresh_interval": {"refresh_interval": 60_000},
    }
    for verb, body in bodies.items():
        stored = tool_configs.messages.ConfigSet(config={"a": 1}, enabled=verb != "enable")
        story = given(stored, key="t")
        story.work.take(BATCH_NS)
        yield story.when_in_a_batch(f"tool_configs.{verb}", **TOOL, **body)


def ends_with_others(verb: str, **body: Any) -> Iterator[Story]:
    """Stories of a verb that ends a job, whose followers go on or are cancelled then."""
    for on_failure in ("run", "cancel"):
        stopping = running(max_attempts=1, group_id="g").given(events.CancelRequested())
        story = followed(awaited(stopping, on_failure))
        # The service sends its own verbs when the job's time is over.
        story = story if body else story.later(limits.DEFAULT_TIMEOUT_MS)
        yield story.when(f"jobs.{verb}", id=KEY, **body)


def cancelled_while_waiting(*of_the_other: Event) -> Story:
    story = given(a_job(), key="other").given(a_job(depends_on=("other",), waiting_for=("other",)))
    return story.given(events.Cancelled()).given(*of_the_other, key="other")


def stories_of_dependencies() -> Iterator[Story]:
    for event in (events.Completed(), events.Failed(error="x")):
        yield awaited(running().given(event), "run").when("jobs.resolve_dependents", id=KEY)
    yield awaited(running().given(events.Failed(error="x")), "cancel").when("jobs.resolve_dependents", id=KEY)
    yield awaited(given(a_job()), "run").when("jobs.cancel", id=KEY)
    yield awaited(running().given(events.Completed()), "run").when("jobs.archive", id=KEY)
    gone = cancelled_while_waiting(events.Cancelled(), events.Archived())
    yield gone.when("jobs.retry", id=KEY)
    yield cancelled_while_waiting(events.Cancelled()).when("jobs.retry", id=KEY)


def ends_with_calls_set_aside() -> Iterator[Story]:
    for verb in ("complete", "fail", "snooze", "interrupt", "ack_cancel"):
        story = given(a_job(budget=JobBudget(platform="github"))).when("jobs.claim", worker="w")
        lease = story.leases[KEY].token
        story.given(events.CancelRequested())
        yield story.when(f"jobs.{verb}", id=KEY, lease=lease, **MORE.get(verb, {}))


def stories_of_groups() -> Iterator[Story]:
    yield followed(given(a_job(group_id="g"))).when("jobs.cancel", id=KEY)
    cancelled = followed(running(group_id="g").given(events.Completed())).given(
        events.Cancelled(), key="all_ended"
    )
    yield cancelled.when("jobs.retry", id="all_ended")
    for event in (events.Completed(), events.Failed(error="x")):
        yield followed(running(group_id="g").given(event)).when("jobs.resolve_group", id="g")
        held = a_job(held=True, after_group=AwaitedGroup(id="g", when="all_completed"))
        story = given(a_job(group_id="g"), event, key="member").given(held)
        yield awaited(story, "run").when("jobs.release", id=KEY)
    over = given(a_job(group_id="g"), events.Cancelled(), key="member")
    yield over.when("jobs.enqueue", id=KEY, type="t", after_group={"id": "g", "when": "all_ended"})


def timed_out() -> Iterator[Story]:
    for attempts in (1, 2):
        story = given(a_job(max_attempts=attempts, budget=JobBudget(platform="github")))
        story.when("jobs.claim", worker="w")
        yield story.later(limits.DEFAULT_TIMEOUT_MS).when("jobs.time_out", id=KEY)


def cancelled_with_calls() -> Story:
    story = given(a_job(budget=JobBudget(platform="github"))).when("jobs.claim", worker="w")
    story.when("jobs.cancel", id=KEY)
    return story.when("jobs.ack_cancel", id=KEY, lease=story.leases[KEY].token)


def told_of_what_was_reserved() -> Story:
    here = {"platform": "github"}
    story = given().when("rate_limits.observe", **here, remaining=50, limit=100)
    story.when("rate_limits.reserve", **here, reservation="r", cost=1)
    return story.when("rate_limits.observe_response", **here, status=200, headers={}, reservation="r")


MORE: dict[str, dict[str, Any]] = {"snooze": {"run_at": NOW}, "fail": {"error": "x"}}


# Cases that chance does not reach, or too seldom.
def rare_stories() -> Iterator[Story]:
    yield reserved_often()
    yield released_after_most_calls()
    yield (
        given()
        .when("schedules.set", id="s", every_ms=1_000, job={"type": "t", "name": "n"})
        .when("schedules.trigger", id="s")
    )
    only_one = {"type": "t", "name": "n", "unique": {}}
    story = given().when("schedules.set", id="s", every_ms=1_000, job=only_one)
    yield story.when("schedules.trigger", id="s").when("schedules.trigger", id="s")
    yield given().when("schedules.trigger", id="s")
    for verb in ("set", "validate"):
        yield given().when(f"tool_configs.{verb}", **TOOL, config=HUGE)
    yield configured({"b": "x" * 200_000}).when("tool_configs.patch", **TOOL, patch={"a": "x" * 200_000})
    yield given().when("tool_configs.register_schema", **TOOL, schema={"description": "x" * 100_000})
    yield rolled_back_to_what_no_longer_validates()
    yield rolled_back_under_a_heavy_schema()
    yield from under_a_schema_that_was_taken_once()
    yield from in_a_batch_that_has_made_all_its_work()
    too_large = "x" * (app_state.MAXIMUM_VALUE_BYTES + 1)
    yield given().when("app_state.set", key="k", value=too_large)
    yield given().when("app_state.set_if", key="k", value=too_large, expected_version=0)
    yield given().when("app_state.set_many", items=[{"key": "k", "value": too_large}])
    for verb in ("complete", "snooze", "interrupt", "ack_cancel", "fail"):
        yield from ends_with_others(verb, lease=TOKEN, **MORE.get(verb, {}))
    yield from ends_with_others("rescue")
    yield from ends_with_others("time_out")
    yield from ends_with_calls_set_aside()
    yield from timed_out()
    yield cancelled_with_calls()
    yield told_of_what_was_reserved()
    claimed, rescued = events.Claimed(worker="w", attempt=1), events.Rescued(next_run_at=NOW)
    lost = given(a_job(), *(claimed, rescued) * limits.MAXIMUM_RESCUES, claimed)
    yield lost.when("jobs.rescue", id=KEY)
    yield from stories_of_dependencies()
    yield from stories_of_groups()


def seen_in(history: list[Any]) -> Iterator[tuple[Story, str | None]]:
    """The story of a history after each command, with the job that the command was for."""
    telling = Telling()
    for step in history:
        match step:
            case Later(milliseconds):
                telling.story.later(milliseconds)
            case Group(submissions):
                for wish in (wish for _, wished in submissions for wish in wished):
                    telling.story.when(wish.name, **body_of(wish, telling))
                    remember_tokens(wish, telling)
                    yield telling.story, wish.body.get("id")


def body_of(wish: Wish, telling: Telling) -> dict[str, Any]:
    body = wish.body | {name: telling.story.now + delay for name, delay in wish.after_ms.items()}
    if wish.lease is not None:
        tokens = telling.tokens.get(body["id"], [])
        body["lease"] = tokens[wish.lease] if -len(tokens) <= wish.lease < len(tokens) else "none"
    return body


def remember_tokens(wish: Wish, telling: Telling) -> None:
    if wish.name == "jobs.claim" and telling.story.refusal is None:
        for job_id, lease in telling.story.decision.leases.items():
            assert lease is not None
            telling.tokens.setdefault(job_id, []).append(lease.token)


class Seen(NamedTuple):
    """The outcomes of each verb, the moves of jobs between states, and the outcomes in each state."""

    led_to: dict[str, set[str]]
    moves: set[Move]
    outcomes: set[TriedVerb]


@pytest.fixture(scope="module")
def seen() -> Seen:
    found = Seen({name: set() for name in VERBS}, set(), set())
    histories = (seen_in(Chance(seed).history(60)) for seed in range(120))
    for story, job_id in chain(((story, None) for story in rare_stories()), *histories):
        found.led_to[story.verb] |= story.what_it_led_to()
        found.moves.update(moves_of(story))
        if job_id is not None and story.verb in TRIED:
            found.outcomes.update(outcomes_of(story, job_id))
    # These results are made from the rows after the commit, which stories do not have.
    found.led_to["jobs.claim"] |= {"result jobs", "result retry_after_ms", "result waits_for_ends"}
    return found


def test_whatever_a_verb_declares_happens(seen):
    # Imports come from files, not in histories: tests/unit/domain/test_imported_rows.py has what they lead
    # to.
    verbs = {name: verb for name, (_, verb) in VERBS.items() if not name.endswith(".import")}
    never = {name: declared(verb) - seen.led_to[name] for name, verb in verbs.items()}
    assert {name: missing for name, missing in never.items() if missing} == {}


def test_jobs_are_moved_as_the_picture_has_it_whatever_happens(seen):
    moves, outcomes = everything_tried()

    assert {move for move in seen.moves - moves if move.before != move.after} == set()
    # A value that is there already changes nothing in any state, and any verb may be invalid.
    told = {one for one in seen.outcomes if one.after not in (None, one.state) or one.refusal is not None}
    assert {one for one in told - outcomes if one.refusal != "invalid"} == set()


def test_the_picture_has_every_event_and_the_table_every_rule():
    moves, outcomes = everything_tried()
    rules = {(one.verb, one.refusal) for one in outcomes}

    # An import brings jobs in any state.
    named = {name.split(".")[1] for name in jobs.DECIDER.events if name != "job.imported.v1"}
    assert {move.event for move in moves} == named
    assert {(name, rule) for name in TRIED for rule in VERBS[name][1].rules} <= rules


def test_what_a_verb_does_not_declare_fails_the_story_in_which_it_happens(monkeypatch: pytest.MonkeyPatch):
    decider, verb = VERBS["jobs.hold"]
    for silent in ({"events": ()}, {"refusals": ()}, {"rules": ()}):
        changed = msgspec.structs.replace(verb, **silent)
        monkeypatch.setitem(every_verb, "jobs.hold", (decider, changed))
        with pytest.raises(AssertionError):
            hold_in_any_state()


def hold_in_any_state() -> None:
    for story in (given(a_job()), given(), running()):
        story.when("jobs.hold", id=KEY)


def test_an_event_belongs_to_at_least_one_verb():
    declared_events = {event for _, verb in VERBS.values() for event in verb.events}

    assert declared_events == {event for decider in DECIDERS for event in decider.events.values()}

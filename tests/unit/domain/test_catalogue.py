"""Stored events are readable for ever: the JSON of each event type, as logs have it, is written down here.

No line is ever changed; lines are added for a new event type, and for a new field of an old one.
"""

from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import app_state, queues
from domain.catalogue import (
    BY_TABLE,
    DECIDERS,
    TIMELINE_FORKED,
    UPCASTERS,
    VERBS,
    TimelineForked,
    UnknownEventTypeError,
    decode_event,
    encode_event,
    state_shape,
)
from domain.jobs import events as job_events
from domain.jobs.groups import AwaitedGroup
from domain.jobs.retries import JobRetry
from domain.limiting import CountedRate, JobConcurrency, JobRate
from domain.messages import Event
from domain.rate_limits import messages as rate_limit_messages
from domain.rate_limits import reading as rate_limit_reading
from domain.rate_limits.job_calls import JobBudget
from domain.schedules import messages as schedule_messages
from domain.tool_configs import messages
from domain.upcasters import upcast
from tests.support.domain.given_when_then import raw
from tests.support.examples import examples

CONTENT = '{"enabled":false,"config":{"a":[1,null]},"refresh_interval":5,"notifications":false,"reason":"why"'
SAME: dict[str, Any] = {
    "enabled": False,
    "config": {"a": [1, None]},
    "refresh_interval": 5,
    "notifications": False,
    "reason": "why",
}

# For each type, its JSON with all fields and with as few as there can be.
GOLDEN: dict[str, list[tuple[str, Event]]] = {
    "job.enqueued.v1": [
        (
            '{"type":"t","name":"n","priority":4,"queue":"q","payload":{"a":1},"tool":"x","endpoint":"e",'
            '"run_at":7,"max_attempts":9,"timeout_ms":1000,"tags":["a","b"],"unique_key":"u","depends_on":["p","r"],'
            '"waiting_for":["p"],"on_dependency_failure":"run","held":true,"schedule_id":"s",'
            '"budget":{"platform":"p","resource":"r","identifier":"i","cost":2},'
            '"retry":{"base_ms":1,"factor":3.5,"cap_ms":2,"jitter":0.25,"delays_ms":[3],"crashes_count":true},'
            '"group_id":"g","after_group":{"id":"h","when":"all_ended"},'
            '"concurrency":{"key":"k","limit":3},"rate":{"key":"k","limit":3,"window_ms":5},'
            '"result_ttl_ms":1000}',
            job_events.Enqueued(
                type="t", name="n", priority=4, queue="q", payload=raw('{"a":1}'), tool="x", endpoint="e",
                run_at=7, max_attempts=9, timeout_ms=1000, tags=("a", "b"), unique_key="u",
                depends_on=("p", "r"), waiting_for=("p",), on_dependency_failure="run", held=True,
                schedule_id="s", budget=JobBudget(platform="p", resource="r", identifier="i", cost=2),
                retry=JobRetry(
                    base_ms=1, factor=3.5, cap_ms=2, jitter=0.25, delays_ms=(3,), crashes_count=True
                ),
                group_id="g", after_group=AwaitedGroup(id="h", when="all_ended"),
                concurrency=JobConcurrency(key="k", limit=3), rate=JobRate(key="k", limit=3, window_ms=5),
                result_ttl_ms=1_000,
            ),
        ),
        ('{"type":"t","name":"n","run_at":7}', job_events.Enqueued(type="t", name="n", run_at=7)),
    ],
    "job.claimed.v1": [
        ('{"worker":"w","attempt":2}', job_events.Claimed(worker="w", attempt=2)),
        (
            '{"worker":"w","attempt":2,"counted":[{"key":"k","window_ms":5},{"queue":"q","window_ms":6}]}',
            job_events.Claimed(
                worker="w", attempt=2,
                counted=(CountedRate(key="k", window_ms=5), CountedRate(queue="q", window_ms=6)),
            ),
        ),
    ],
    "job.progressed.v1": [
        ('{"percent":12.5,"note":"half"}', job_events.Progressed(percent=12.5, note="half")),
        ("{}", job_events.Progressed()),
    ],
    "job.imported.v1": [
        (
            '{"type":"t","name":"n","priority":4,"payload":{"a":1},"tool":"x","endpoint":"e",'
            '"state":"failed","run_at":7,"max_attempts":9,"attempt":8,"retry_count":6,"recovery_attempts":1,'
            '"created_at":1,"updated_at":2,"persisted_at":3,"started_at":4,"completed_at":5,"result":[1],'
            '"error":"x","history":[{"attempt":1,"status":"failed","started_at":4,"completed_at":5,'
            '"duration_ms":1,"error_message":"x"}]}',
            job_events.Imported(
                type="t", name="n", priority=4, payload=raw('{"a":1}'), tool="x", endpoint="e",
                state="failed", run_at=7, max_attempts=9, attempt=8, retry_count=6, recovery_attempts=1,
                created_at=1, updated_at=2, persisted_at=3, started_at=4, completed_at=5, result=raw("[1]"),
                error="x",
                history=(
                    job_events.ImportedAttempt(
                        attempt=1, status="failed", started_at=4, completed_at=5, duration_ms=1,
                        error_message="x",
                    ),
                ),
            ),
        ),
        (
            '{"type":"t","name":"n","state":"pending","run_at":7,"created_at":1,"updated_at":2,'
            '"persisted_at":3}',
            job_events.Imported(
                type="t", name="n", state="pending", run_at=7, created_at=1, updated_at=2, persisted_at=3
            ),
        ),
    ],
    "job.completed.v1": [
        ('{"result":[1,2]}', job_events.Completed(result=raw("[1,2]"))),
        ("{}", job_events.Completed()),
    ],
    "job.attempt_failed.v1": [
        (
            '{"error":"x","traceback":"y","next_run_at":7}',
            job_events.AttemptFailed(error="x", traceback="y", next_run_at=7),
        ),
        ('{"error":"x","next_run_at":7}', job_events.AttemptFailed(error="x", next_run_at=7)),
    ],
    "job.failed.v1": [
        ('{"error":"x","traceback":"y"}', job_events.Failed(error="x", traceback="y")),
        ('{"error":"x"}', job_events.Failed(error="x")),
    ],
    "job.snoozed.v1": [('{"run_at":7}', job_events.Snoozed(run_at=7))],
    "job.interrupted.v1": [("{}", job_events.Interrupted())],
    "job.cancel_requested.v1": [
        ('{"reason":"why"}', job_events.CancelRequested(reason="why")),
        ("{}", job_events.CancelRequested()),
    ],
    "job.cancelled.v1": [
        ('{"reason":"why"}', job_events.Cancelled(reason="why")),
        ("{}", job_events.Cancelled()),
    ],
    "job.retried.v1": [
        ('{"max_attempts":6,"waiting_for":["p"]}', job_events.Retried(max_attempts=6, waiting_for=("p",))),
        ('{"max_attempts":6}', job_events.Retried(max_attempts=6)),
    ],
    "job.dependency_met.v1": [('{"dependency":"p"}', job_events.DependencyMet(dependency="p"))],
    "job.group_met.v1": [('{"group":"g"}', job_events.GroupMet(group="g"))],
    "queue.paused.v1": [('{"reason":"why"}', queues.Paused(reason="why")), ("{}", queues.Paused())],
    "queue.limited.v1": [
        (
            '{"concurrency":3,"rate":{"limit":4,"window_ms":5}}',
            queues.Limited(concurrency=3, rate=queues.QueueRate(limit=4, window_ms=5)),
        ),
        ("{}", queues.Limited()),
    ],
    "queue.resumed.v1": [("{}", queues.Resumed())],
    "job.attempt_timed_out.v1": [
        ('{"error":"x","next_run_at":7}', job_events.AttemptTimedOut(error="x", next_run_at=7)),
    ],
    "job.timed_out.v1": [('{"error":"x"}', job_events.TimedOut(error="x"))],
    "job.held.v1": [("{}", job_events.Held())],
    "job.released.v1": [("{}", job_events.Released())],
    "job.replaced.v1": [
        (
            '{"type":"t","name":"n","priority":4,"queue":"q","payload":{"a":1},"tool":"x","endpoint":"e",'
            '"run_at":7,"max_attempts":9,"timeout_ms":1000,"tags":["a"],'
            '"budget":{"platform":"p","resource":"r","identifier":"i","cost":2},"retry":{"factor":3.0},'
            '"concurrency":{"key":"k","limit":3},"rate":{"key":"k","limit":3,"window_ms":5},"result_ttl_ms":1000}',
            job_events.Replaced(
                type="t", name="n", priority=4, queue="q", payload=raw('{"a":1}'), tool="x", endpoint="e",
                run_at=7, max_attempts=9, timeout_ms=1000, tags=("a",),
                budget=JobBudget(platform="p", resource="r", identifier="i", cost=2),
                retry=JobRetry(factor=3.0),
                concurrency=JobConcurrency(key="k", limit=3), rate=JobRate(key="k", limit=3, window_ms=5),
                result_ttl_ms=1_000,
            ),
        ),
        ('{"type":"t","name":"n","run_at":7}', job_events.Replaced(type="t", name="n", run_at=7)),
    ],
    "job.rescheduled.v1": [('{"run_at":7}', job_events.Rescheduled(run_at=7))],
    "job.reprioritized.v1": [('{"priority":4}', job_events.Reprioritized(priority=4))],
    "job.payload_updated.v1": [
        ('{"payload":{"a":1}}', job_events.PayloadUpdated(payload=raw('{"a":1}'))),
    ],
    "job.archived.v1": [("{}", job_events.Archived())],
    "job.rescued.v1": [
        ('{"next_run_at":7,"costs_attempt":false}', job_events.Rescued(next_run_at=7, costs_attempt=False)),
        ('{"next_run_at":7}', job_events.Rescued(next_run_at=7)),
    ],
    "schedule.set.v1": [
        (
            '{"job":{"type":"t","name":"n","payload":{}},"every_ms":1000,"cron":"* * * * *",'
            '"time_zone":"Z","on_missed":"skip","next_run_at":7}',
            schedule_messages.ScheduleSet(
                job=schedule_messages.JobTemplate(type="t", name="n"), every_ms=1000, cron="* * * * *",
                time_zone="Z", on_missed="skip", next_run_at=7,
            ),
        ),
        (
            '{"job":{"type":"t","name":"n","payload":{}}}',
            schedule_messages.ScheduleSet(job=schedule_messages.JobTemplate(type="t", name="n")),
        ),
    ],
    "schedule.deleted.v1": [("{}", schedule_messages.Deleted())],
    "schedule.paused.v1": [("{}", schedule_messages.Paused())],
    "schedule.resumed.v1": [
        ('{"next_run_at":7}', schedule_messages.Resumed(next_run_at=7)),
        ("{}", schedule_messages.Resumed()),
    ],
    "schedule.triggered.v1": [('{"job_id":"j"}', schedule_messages.Triggered(job_id="j"))],
    "schedule.ran.v1": [
        (
            '{"job_id":"j","due_at":7,"next_run_at":8}',
            schedule_messages.Ran(job_id="j", due_at=7, next_run_at=8),
        ),
        ('{"job_id":"j","due_at":7}', schedule_messages.Ran(job_id="j", due_at=7)),
    ],
    "schedule.skipped.v1": [
        (
            '{"due_at":7,"next_run_at":8,"existing":"j"}',
            schedule_messages.Skipped(due_at=7, next_run_at=8, existing="j"),
        ),
        ('{"due_at":7}', schedule_messages.Skipped(due_at=7)),
    ],
    "rate_limit.imported.v1": [
        (
            '{"remaining":1,"limit":3,"reset_time":9,"last_updated":7,"created_at":5}',
            rate_limit_messages.Imported(remaining=1, limit=3, reset_time=9, last_updated=7, created_at=5),
        ),
        ('{"last_updated":7,"created_at":5}', rate_limit_messages.Imported(last_updated=7, created_at=5)),
    ],
    "rate_limit.observed.v1": [
        (
            '{"remaining":1,"limit":3,"used":2,"reset_time":9,"observed_at":7}',
            rate_limit_messages.Observed(remaining=1, limit=3, used=2, reset_time=9, observed_at=7),
        ),
        ('{"observed_at":7}', rate_limit_messages.Observed(observed_at=7)),
        (
            '{"observed_at":7,"policy":"hour","window_ms":8,"near_limit":true,'
            '"others":[{"policy":"day","remaining":1,"limit":3,"used":2,"reset_time":9,"window_ms":8,'
            '"near_limit":true}],"reservation":"r"}',
            rate_limit_messages.Observed(
                observed_at=7, policy="hour", window_ms=8, near_limit=True, reservation="r",
                others=(
                    rate_limit_reading.Reading(
                        policy="day", remaining=1, limit=3, used=2, reset_time=9, window_ms=8, near_limit=True
                    ),
                ),
            ),
        ),
    ],
    "rate_limit.level_changed.v1": [
        (
            '{"level":"warning","previous":"normal"}',
            rate_limit_messages.LevelChanged(level="warning", previous="normal"),
        ),
    ],
    "rate_limit.throttled.v1": [
        (
            '{"until":7,"reason":"HTTP 429","refusals":2,"refused_at":5,"wide":true}',
            rate_limit_messages.Throttled(until=7, reason="HTTP 429", refusals=2, refused_at=5, wide=True),
        ),
        ('{"until":7,"reason":"429"}', rate_limit_messages.Throttled(until=7, reason="429")),
        ('{"until":7}', rate_limit_messages.Throttled(until=7)),
    ],
    "rate_limit.thresholds_set.v1": [
        (
            '{"warning_percent":50,"critical_percent":90}',
            rate_limit_messages.ThresholdsSet(warning_percent=50, critical_percent=90),
        ),
    ],
    "rate_limit.reserved.v1": [
        (
            '{"reservation":"r","cost":2,"expires_at":7}',
            rate_limit_messages.Reserved(reservation="r", cost=2, expires_at=7),
        ),
    ],
    "rate_limit.released.v1": [
        ('{"reservation":"r","used":2}', rate_limit_messages.Released(reservation="r", used=2)),
        ('{"reservation":"r"}', rate_limit_messages.Released(reservation="r")),
    ],
    "rate_limit.calls_claimed.v1": [
        (
            '{"jobs":[{"job":"a","cost":2},{"job":"b"}]}',
            rate_limit_messages.CallsClaimed(
                jobs=(rate_limit_messages.JobCalls(job="a", cost=2), rate_limit_messages.JobCalls(job="b"))
            ),
        ),
    ],
    "rate_limit.calls_ended.v1": [
        ('{"job":"a","unused":1}', rate_limit_messages.CallsEnded(job="a", unused=1)),
        ('{"job":"a"}', rate_limit_messages.CallsEnded(job="a")),
    ],
    "rate_limit.cleared.v1": [("{}", rate_limit_messages.Cleared())],
    "tool_config.set.v1": [
        (CONTENT + "}", messages.ConfigSet(**SAME)),
        ("{}", messages.ConfigSet()),
    ],
    "tool_config.imported.v1": [
        (CONTENT + ',"updated_at":7}', messages.Imported(**SAME, updated_at=7)),
        ('{"updated_at":7}', messages.Imported(updated_at=7)),
    ],
    "tool_config.patched.v1": [
        (CONTENT + "}", messages.ConfigPatched(**SAME)),
        ("{}", messages.ConfigPatched()),
    ],
    "tool_config.enabled.v1": [
        (CONTENT + "}", messages.Enabled(**SAME)),
        ("{}", messages.Enabled()),
    ],
    "tool_config.disabled.v1": [
        (CONTENT + "}", messages.Disabled(**SAME)),
        ("{}", messages.Disabled()),
    ],
    "tool_config.refresh_interval_set.v1": [
        (CONTENT + "}", messages.RefreshIntervalSet(**SAME)),
        ("{}", messages.RefreshIntervalSet()),
    ],
    "tool_config.notifications_set.v1": [
        (CONTENT + "}", messages.NotificationsSet(**SAME)),
        ("{}", messages.NotificationsSet()),
    ],
    "tool_config.rolled_back.v1": [
        (CONTENT + ',"to_version":3}', messages.RolledBack(**SAME, to_version=3)),
        ('{"to_version":3}', messages.RolledBack(to_version=3)),
    ],
    "tool_config.deleted.v1": [
        ('{"reason":"why"}', messages.Deleted(reason="why")),
        ("{}", messages.Deleted()),
    ],
    "tool_config.schema_registered.v1": [
        (
            '{"schema":{"type":"object"},"reason":"why"}',
            messages.SchemaRegistered(schema={"type": "object"}, reason="why"),
        ),
        ('{"schema":{}}', messages.SchemaRegistered(schema={})),
    ],
    "tool_config.schema_removed.v1": [
        ('{"reason":"why"}', messages.SchemaRemoved(reason="why")),
        ("{}", messages.SchemaRemoved()),
    ],
    "app_state.set.v1": [
        ('{"value":{"b":1,"a":[1.50]}}', app_state.ValueSet(value=raw('{"b":1,"a":[1.50]}'))),
        ('{"value":null}', app_state.ValueSet(value=raw("null"))),
        ('{"value":1,"expires_at":7}', app_state.ValueSet(value=raw("1"), expires_at=7)),
    ],
    "app_state.imported.v1": [
        ('{"value":{"b":1},"updated_at":7}', app_state.Imported(value=raw('{"b":1}'), updated_at=7)),
        ('{"value":null}', app_state.Imported(value=raw("null"))),
    ],
    "app_state.deleted.v1": [("{}", app_state.Deleted())],
    "app_state.expired.v1": [("{}", app_state.Expired())],
    "timeline.forked.v1": [
        ('{"timeline":2,"restored_position":7}', TimelineForked(timeline=2, restored_position=7)),
        (
            '{"timeline":2,"restored_position":7,"leader":"b","missing_events":3}',
            TimelineForked(timeline=2, restored_position=7, leader="b", missing_events=3),
        ),
    ],
}  # fmt: skip

EVENTS: dict[str, type[Event]] = {
    name: event for decider in DECIDERS for name, event in decider.events.items()
} | {TIMELINE_FORKED: TimelineForked}
STORED = [(name, text, event) for name, examples in GOLDEN.items() for text, event in examples]


def test_every_event_type_has_its_stored_form_written_down():
    assert set(GOLDEN) == set(EVENTS)


@pytest.mark.parametrize(("name", "text", "event"), STORED)
def test_an_event_stored_today_is_read_for_ever(name: str, text: str, event: Event):
    assert decode_event(name, text) == event
    assert decode_event(name, text.encode()) == event


@pytest.mark.parametrize(("name", "text", "event"), STORED)
def test_an_event_is_stored_as_it_is_written_down(name: str, text: str, event: Event):
    assert encode_event(event) == (name, text.encode())


@pytest.mark.parametrize(("name", "text", "event"), STORED)
def test_an_event_with_a_field_of_a_later_version_is_still_read(name: str, text: str, event: Event):
    later = text[:-1] + ("," if len(text) > 2 else "") + '"of_a_later_version":[{}]}'

    assert decode_event(name, later) == event


@pytest.mark.parametrize("name", EVENTS)
def test_the_examples_cover_every_field_of_an_event(name: str):
    said = {field for text, _ in GOLDEN[name] for field in msgspec.json.decode(text)}

    assert said == set(EVENTS[name].__struct_fields__)


@pytest.mark.parametrize("name", EVENTS)
@settings(max_examples=examples(30))
@given(data=st.data())
def test_every_event_reads_as_it_was_written(name: str, data):
    event = data.draw(instances_of(EVENTS[name]))

    type_name, encoded = encode_event(event)

    assert type_name == name
    assert decode_event(name, encoded) == event
    assert encode_event(decode_event(name, encoded.decode())) == (name, encoded)


def test_an_event_type_that_is_not_in_the_catalogue_is_said_to_be_unknown():
    with pytest.raises(UnknownEventTypeError, match=r"job\.exploded\.v1"):
        decode_event("job.exploded.v1", "{}")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"worker":"w","attempt":"2"}'])
def test_what_is_not_an_event_of_its_type_is_not_read(text: str):
    with pytest.raises(msgspec.MsgspecError):
        decode_event("job.claimed.v1", text)


def test_no_two_event_types_share_a_name_or_a_class_and_all_are_versioned():
    names = [name for decider in DECIDERS for name in decider.events]
    classes = [event for decider in DECIDERS for event in decider.events.values()]

    assert len(set(names)) == len(names)
    assert len(set(classes)) == len(classes)
    assert all(name.split(".")[2] == "v1" and len(name.split(".")) == 3 for name in names)


def test_every_verb_is_found_by_its_table_and_name():
    assert all(
        VERBS[decider.command_name(verb)] == (decider, verb) for decider in DECIDERS for verb in decider.verbs
    )
    assert list(BY_TABLE) == ["jobs", "queues", "schedules", "rate_limits", "tool_configs", "app_state"]


def test_the_shape_of_a_state_tells_its_structure():
    shapes = [msgspec.json.encode(state_shape(decider)) for decider in DECIDERS]

    assert len(set(shapes)) == len(DECIDERS)
    assert shapes == [msgspec.json.encode(state_shape(decider)) for decider in DECIDERS]


# Upcasters

every_step = cast("dict[str, Any]", UPCASTERS)


def test_an_old_event_is_brought_to_todays_form_step_by_step(monkeypatch: pytest.MonkeyPatch):
    steps = {
        "job.finished.v1": ("job.finished.v2", lambda data: {"outcome": data["result"]}),
        "job.finished.v2": ("job.completed.v1", lambda data: {"result": data["outcome"]}),
    }
    for name, step in steps.items():
        monkeypatch.setitem(every_step, name, step)

    assert upcast("job.finished.v1", {"result": 1}, steps) == ("job.completed.v1", {"result": 1})
    assert upcast("job.completed.v1", {"result": 1}, steps) == ("job.completed.v1", {"result": 1})
    assert decode_event("job.finished.v1", '{"result":{"a":[1]}}') == job_events.Completed(
        result=raw('{"a":[1]}')
    )


def test_an_upcaster_that_leads_nowhere_is_an_unknown_event_type(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(every_step, "job.old.v1", ("job.gone.v1", dict))

    with pytest.raises(UnknownEventTypeError, match=r"job\.gone\.v1"):
        decode_event("job.old.v1", "{}")


# Any event at all

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(0, 2**62),
    bool: st.booleans(),
    float: st.floats(0, 100),
    msgspec.Raw: json_values.map(lambda value: msgspec.Raw(msgspec.json.encode(value))),
    dict[str, Any]: st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    tuple[str, ...]: st.lists(st.text(), max_size=3).map(tuple),
    type(None): st.none(),
    schedule_messages.JobTemplate: st.builds(schedule_messages.JobTemplate, type=st.text(), name=st.text()),
}


def instances_of(event: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    fields = {name: values_of(hint) for name, hint in get_type_hints(event).items()}
    return st.fixed_dictionaries(
        {name: fields[name] for name in event.__struct_fields__}
    ).map(lambda chosen: event(**chosen))  # fmt: skip


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) in (Union, UnionType):
        return st.one_of([values_of(one) for one in get_args(hint)])
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(values_of(get_args(hint)[0]), max_size=3).map(tuple)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return instances_of(hint)
    return VALUES[hint]

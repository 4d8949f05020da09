"""Recurring jobs: their times, also where clocks change, and what becomes of times that were missed."""

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from bus.writing.cron import cron_time
from domain.errors import Invalid
from domain.jobs.events import Completed, Enqueued
from domain.schedules import DECIDER
from domain.schedules.messages import (
    Deleted,
    JobTemplate,
    Paused,
    Ran,
    Resumed,
    ScheduleSet,
    Skipped,
    Triggered,
)
from domain.schedules.times import Times, next_times
from tests.support.clock import NOW
from tests.support.domain.given_when_then import KEY, Story
from tests.support.domain.job_states import claimed

JOB = {"type": "sync", "name": "Sync"}
MINUTE = 60_000
HOUR = 60 * MINUTE


def every(milliseconds: int = HOUR, job: dict[str, Any] = JOB, **changes: Any) -> Story:
    return Story().when("schedules.set", id=KEY, job=job, every_ms=milliseconds, **changes)


def enqueued(at: int) -> Enqueued:
    return Enqueued(type="sync", name="Sync", run_at=at, schedule_id=KEY)


def at(text: str, zone: str = "Europe/Berlin") -> int:
    """A moment, in milliseconds; a trailing `*` means the second of two with this time of the clock."""
    moment = datetime.fromisoformat(text.removesuffix("*"))
    return int(moment.replace(tzinfo=ZoneInfo(zone), fold=int(text.endswith("*"))).timestamp() * 1000)


# Every verb, on every state

STATES: dict[str, Callable[[], Story]] = {
    "absent": Story,
    "active": every,
    "due": lambda: every().later(HOUR),
    "paused": lambda: every().given(Paused()),
    "paused, due": lambda: every().later(HOUR).given(Paused()),
    "missed": lambda: every(on_missed="skip").later(HOUR + 10_001),
    "deleted": lambda: every().given(Deleted()),
}
GONE = {
    "set": [ScheduleSet], "delete": "not_found", "pause": "not_found", "resume": "not_found",
    "trigger": "not_found", "run": [],
}  # fmt: skip
ACTIVE = {
    "set": [], "delete": [Deleted], "pause": [Paused], "resume": [], "trigger": [Enqueued, Triggered],
    "run": [],
}  # fmt: skip
EXPECTED: dict[str, dict[str, Any]] = {
    "absent": GONE,
    "active": ACTIVE,
    "due": ACTIVE | {"run": [Enqueued, Ran]},
    "paused": ACTIVE | {"pause": [], "resume": [Resumed]},
    "paused, due": ACTIVE | {"pause": [], "resume": [Resumed]},
    "missed": ACTIVE | {"run": [Skipped], "set": [ScheduleSet]},
    "deleted": GONE,
}


@pytest.mark.parametrize(
    ("state", "verb"), [(state, verb.name) for state in EXPECTED for verb in DECIDER.verbs]
)
def test_in_each_state_each_verb_leads_to_its_events_or_is_refused(state: str, verb: str):
    body = {"id": KEY} | ({"job": JOB, "every_ms": HOUR} if verb == "set" else {})
    story = STATES[state]().when(f"schedules.{verb}", **body)

    expected = EXPECTED[state][verb]
    if isinstance(expected, str):
        story.then_refused(expected)
    else:
        assert story.refusal is None
        assert [type(event) for _, event in story.decision.events] == expected


# Times


def test_an_interval_keeps_its_step_however_late_a_run_is():
    story = every().later(HOUR + 500).when("schedules.run", id=KEY)

    story.then(
        enqueued(NOW + HOUR), Ran(job_id=f"{KEY}@{NOW + HOUR}", due_at=NOW + HOUR, next_run_at=NOW + 2 * HOUR)
    )
    assert story.state("jobs", f"{KEY}@{NOW + HOUR}").schedule_id == KEY
    story.when("schedules.run", id=KEY).then_nothing()


def test_of_times_that_were_missed_the_last_is_made_up_for():
    story = every().later(5 * HOUR + 1).when("schedules.run", id=KEY)

    due = NOW + 5 * HOUR
    story.then(enqueued(due), Ran(job_id=f"{KEY}@{due}", due_at=due, next_run_at=NOW + 6 * HOUR))


def test_times_that_were_missed_are_skipped_where_that_is_wanted():
    story = every(on_missed="skip").later(5 * HOUR + 10_001).when("schedules.run", id=KEY)
    story.then(Skipped(due_at=NOW + 5 * HOUR, next_run_at=NOW + 6 * HOUR))
    assert story.state("schedules").last_job_id is None

    every(on_missed="skip").later(5 * HOUR + 10_000).when("schedules.run", id=KEY)


def test_no_job_is_made_while_another_one_of_its_key_stands_in_the_way():
    story = every(job=JOB | {"unique": {}}).later(HOUR).when("schedules.run", id=KEY)
    first = f"{KEY}@{NOW + HOUR}"
    assert story.state("jobs", first).unique_key == KEY

    story.later(HOUR).when("schedules.run", id=KEY)
    story.then(Skipped(due_at=NOW + 2 * HOUR, next_run_at=NOW + 3 * HOUR, existing=first))
    story.when("schedules.trigger", id=KEY).then_refused(
        "refused", rule="not_unique", existing=first, state="pending"
    )
    story.when("jobs.cancel", id=first)
    story.later(HOUR).when("schedules.run", id=KEY)
    assert story.state("schedules").last_job_id == f"{KEY}@{NOW + 3 * HOUR}"


def test_the_jobs_of_a_schedule_are_unique_as_far_as_it_says():
    unique = {"key": "k", "scope": "successful", "window_ms": 3 * HOUR}
    story = every(job=JOB | {"unique": unique})
    story.when("jobs.enqueue", id="other", type="t", unique={"key": "k"}).when("jobs.cancel", id="other")
    story.later(HOUR).when("schedules.run", id=KEY)
    first = f"{KEY}@{NOW + HOUR}"
    story.given(claimed(), Completed(), key=first)

    story.later(HOUR).when("schedules.run", id=KEY)
    story.then(Skipped(due_at=NOW + 2 * HOUR, next_run_at=NOW + 3 * HOUR, existing=first))
    story.later(2 * HOUR).when("schedules.run", id=KEY)
    assert story.state("schedules").last_job_id == f"{KEY}@{NOW + 4 * HOUR}"


def test_a_cron_schedule_makes_up_for_the_last_time_that_was_missed():
    story = Story().at(at("2026-07-01T10:00:30"))
    story.when("schedules.set", id=KEY, job=JOB, cron="0 * * * *", time_zone="Europe/Berlin")
    assert story.state("schedules").next_run_at == at("2026-07-01T11:00")

    due = at("2026-07-01T14:00")
    story.at(at("2026-07-01T14:30")).when("schedules.run", id=KEY)
    story.then(enqueued(due), Ran(job_id=f"{KEY}@{due}", due_at=due, next_run_at=at("2026-07-01T15:00")))


def test_a_job_that_is_there_already_is_not_made_again():
    due = NOW + HOUR
    story = every().given(enqueued(due), key=f"{KEY}@{due}").later(HOUR)

    story.when("schedules.run", id=KEY).then(
        Ran(job_id=f"{KEY}@{due}", due_at=due, next_run_at=NOW + 2 * HOUR)
    )


def test_changing_the_job_leaves_the_times_and_changing_the_times_begins_anew():
    story = every().later(MINUTE)
    story.when("schedules.set", id=KEY, job=JOB | {"priority": 4}, every_ms=HOUR)
    story.then(
        ScheduleSet(
            job=JobTemplate(type="sync", name="Sync", priority=4), every_ms=HOUR, next_run_at=NOW + HOUR
        )
    )
    story.when("schedules.set", id=KEY, job=JOB, every_ms=MINUTE)
    assert story.state("schedules").next_run_at == NOW + 2 * MINUTE


def test_a_triggered_job_runs_at_once_and_leaves_the_times_as_they_are():
    story = every().given(Paused()).when("schedules.trigger", id=KEY)

    story.then(enqueued(NOW), Triggered(job_id="id-1"))
    assert story.result == {"id": "id-1"}
    assert story.state("schedules").next_run_at == NOW + HOUR


def test_a_resumed_schedule_begins_with_the_next_time():
    story = every().given(Paused()).later(2 * HOUR + 5).when("schedules.resume", id=KEY)

    story.then(Resumed(next_run_at=NOW + 3 * HOUR))
    story.when("schedules.run", id=KEY).then_nothing()


@pytest.mark.parametrize(
    ("times", "path"),
    [
        ({}, "$"),
        ({"every_ms": 1_000, "cron": "* * * * *"}, "$"),
        ({"cron": "61 * * * *"}, "$.cron"),
        ({"cron": "* * * * * *"}, "$.cron"),
        ({"cron": "0 0 31 2 *"}, "$.cron"),
        ({"cron": "* * * * *", "time_zone": "Mars/Olympus"}, "$.time_zone"),
        ({"cron": "* * * * *", "time_zone": "../UTC"}, "$.time_zone"),
        ({"cron": "* * * * *", "time_zone": "Europe"}, "$.time_zone"),
    ],
)
def test_times_that_make_no_sense_are_invalid(times: dict[str, Any], path: str):
    Story().when("schedules.set", id=KEY, job=JOB, **times).then_refused("invalid", path=path)


def test_a_payload_that_is_no_object_is_invalid():
    Story().when("schedules.set", id=KEY, job=JOB | {"payload": 1}, every_ms=1_000).then_refused(
        "invalid", path="$.job.payload"
    )


# Changes of clocks: in Berlin, 02:00 to 03:00 is left out on 29 March 2026, and comes twice on 25 October.


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("30 2 * * *", "2026-03-28T12:00", ["2026-03-29T03:00", "2026-03-30T02:30"]),
        ("0 3 * * *", "2026-03-28T12:00", ["2026-03-29T03:00", "2026-03-30T03:00"]),
        ("30 2 * * *", "2026-10-24T12:00", ["2026-10-25T02:30", "2026-10-26T02:30"]),
        ("0 * * * *", "2026-03-29T00:30", ["2026-03-29T01:00", "2026-03-29T03:00"]),
        ("0 * * * *", "2026-10-25T01:30", ["2026-10-25T02:00", "2026-10-25T02:00*", "2026-10-25T03:00"]),
        ("0 12 * * *", "2026-03-28T13:00", ["2026-03-29T12:00", "2026-03-30T12:00"]),
    ],
)
def test_times_where_clocks_change(expression: str, start: str, expected: list[str]):
    found = [at(start)]
    for _ in expected:
        following = cron_time(expression, "Europe/Berlin", found[-1])
        assert following is not None
        found.append(following)

    assert found[1:] == [at(one) for one in expected]


def test_a_time_that_comes_twice_on_the_clock_comes_once_also_if_it_is_asked_for_in_between():
    assert cron_time("30 2 * * *", "Europe/Berlin", at("2026-10-25T02:10*")) == at("2026-10-26T02:30")


def test_the_last_time_is_one_that_has_come():
    noon = at("2026-07-01T12:00", "UTC")

    assert cron_time("0 12 * * *", "UTC", noon, before=True) == noon
    assert cron_time("0 12 * * *", "UTC", noon - 1, before=True) == noon - 24 * HOUR
    assert cron_time("0 12 * * *", "UTC", noon) == noon + 24 * HOUR
    assert cron_time("0 12 * * *", "UTC", noon - 1) == noon


@pytest.mark.parametrize(
    "kind",
    [
        {"every_ms": 90 * MINUTE},
        {"cron": "30 2 * * *", "time_zone": "Europe/Berlin"},
        {"cron": "30 2 29 2 *", "time_zone": "UTC"},
    ],
)
@pytest.mark.parametrize("late", [0, 5 * HOUR])
def test_the_times_that_are_told_are_those_at_which_it_runs(kind: dict[str, Any], late: int):
    story = Story().when("schedules.set", id=KEY, job=JOB, **kind)
    schedule = story.state("schedules", KEY)
    times = msgspec.convert(schedule, Times, from_attributes=True)
    story.at(schedule.next_run_at + late)
    planned, *following = islice(
        next_times(times, schedule.next_run_at, story.now, cron_time, paused=False), 5
    )

    assert planned == schedule.next_run_at
    for at in following:
        story.when("schedules.run", id=KEY)
        assert story.state("schedules", KEY).next_run_at == at
        story.at(at)


def test_where_no_time_is_left_none_is_told():
    def never(*_: object, **__: object) -> None:
        """No next time, as for a schedule whose day never comes."""

    for is_paused in (True, False):
        assert list(next_times(Times(None, "* * * * *", "UTC"), None, NOW, never, paused=is_paused)) == []


def test_a_name_of_a_cron_expression_means_what_its_five_fields_mean():
    assert cron_time("@daily", "UTC", NOW) == cron_time("0 0 * * *", "UTC", NOW)
    assert cron_time("@weekly", "Europe/Berlin", NOW) == cron_time("0 0 * * 0", "Europe/Berlin", NOW)
    with pytest.raises(Invalid, match="five fields"):
        cron_time("@reboot", "UTC", NOW)

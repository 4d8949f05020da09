"""Rows of the system before this one, as the domain imports them."""

from typing import Any

import msgspec
import pytest

from domain.app_state import Deleted, Expired, ValueSet
from domain.jobs.events import Cancelled, Claimed, Enqueued, Failed
from domain.tool_configs.messages import SchemaRegistered
from tests.support.clock import NOW
from tests.support.domain.given_when_then import KEY, Story, given
from tests.support.stores.old_databases import CREATED

ENQUEUED = Enqueued(type="t", name="n", run_at=NOW)
TIMES = {"created_at": CREATED, "updated_at": CREATED + 5, "persisted_at": CREATED + 7}


def imported(**changes: Any) -> Story:
    job = {"id": KEY, "type": "sync", "name": "acme", "priority": 3, "status": "pending", **TIMES}
    return given().when("jobs.import", **job | changes)


def test_an_imported_job_keeps_its_times_until_something_happens_to_it_here():
    story = imported(payload={"a": 1})
    job = story.state("jobs")
    assert (job.created_at, job.updated_at, job.persisted_at) == (CREATED, CREATED + 5, CREATED + 7)
    assert (job.state, job.run_at, bytes(job.payload)) == ("pending", CREATED, b'{"a":1}')

    job = story.when("jobs.reprioritize", id=KEY, priority=4).state("jobs")
    assert (job.created_at, job.updated_at, job.persisted_at) == (CREATED, NOW, None)


@pytest.mark.parametrize("status", ["held", "retrying", "completed", "failed", "cancelled", "timeout"])
def test_an_imported_job_is_what_it_was(status):
    assert imported(status=status).state("jobs").state == status


@pytest.mark.parametrize("status", ["pending", "scheduled"])
def test_an_imported_job_that_waits_is_due_when_it_was_to_run(status):
    later = imported(status=status, run_at=NOW + 1).state("jobs")
    assert (later.state, later.run_at) == ("scheduled", NOW + 1)
    due = imported(status=status, run_at=NOW).state("jobs")
    assert (due.state, due.run_at) == ("pending", NOW)


def test_a_job_that_was_running_when_the_old_system_stopped_is_retried_at_once():
    story = imported(status="running", started_at=CREATED + 1, attempt=5, run_at=CREATED, recovery_attempts=3)
    job = story.state("jobs")
    assert (job.state, job.run_at, job.deadline_at, job.recovery_attempts) == ("retrying", NOW, None, 3)

    story.when("jobs.claim", worker="w").then(Claimed(worker="w", attempt=6))
    assert story.state("jobs").started_at == CREATED + 1


def test_a_job_that_had_used_its_attempts_gets_one_more_and_no_others():
    story = imported(status="pending", attempt=9)
    story.when("jobs.claim", worker="w")
    token = story.leases[KEY].token
    story.when("jobs.fail", id=KEY, lease=token, error="x").then(Failed(error="x"))


def test_an_unsuccessful_imported_job_can_be_retried():
    story = imported(status="failed", completed_at=CREATED + 3, attempt=7, retry_count=6, error="x")
    assert story.when("jobs.retry", id=KEY).state("jobs").retry_count == 7
    assert story.state("jobs").completed_at is None


def test_an_imported_job_never_replaces_another():
    story = given(ENQUEUED).when(
        "jobs.import", id=KEY, type="t", name="n", priority=1, status="pending", **TIMES
    )
    story.then_refused("already_exists", state="pending")
    story = given(ENQUEUED, Cancelled())
    story.when("jobs.import", id=KEY, type="t", name="n", priority=1, status="pending", **TIMES)
    story.then_refused("already_exists", state="cancelled")


@pytest.mark.parametrize("field", ["payload", "result"])
def test_a_payload_and_a_result_have_their_limits_in_an_import_too(field):
    largest = "x" * (256 * 1024 - 2)
    assert imported(**{field: largest}).refusal is None
    imported(**{field: largest + "x"}).then_refused(
        "too_large", path=f"$.{field}", limit_bytes=262_144, size_bytes=262_145
    )


def test_what_was_known_of_a_limit_is_known_here_with_its_times():
    story = given().when(
        "rate_limits.import",
        platform=KEY,
        remaining=10,
        limit=100,
        last_updated=CREATED,
        created_at=CREATED - 1,
    )
    known = story.state("rate_limits")
    assert (known.created_at, known.updated_at, known.observed_at) == (CREATED - 1, CREATED, CREATED)
    assert (known.remaining, known.level) == (10, "warning")
    story.when("rate_limits.import", platform=KEY, last_updated=1, created_at=1).then_refused(
        "already_exists"
    )


def test_a_limit_that_was_updated_in_the_future_does_not_silence_what_is_observed_here():
    story = given().when("rate_limits.import", platform=KEY, remaining=10, last_updated=NOW * 2, created_at=1)
    assert story.state("rate_limits").updated_at == NOW * 2
    story.later(60_000).when("rate_limits.observe", platform=KEY, remaining=7)
    assert story.state("rate_limits").remaining == 7


CONFIGURATION = {"tool_name": KEY, "enabled": False, "notifications": True, "updated_at": CREATED}


def test_an_imported_configuration_keeps_its_time_and_is_a_version_like_any_other():
    story = given().when("tool_configs.import", **CONFIGURATION, config={"a": 1})
    assert story.state("tool_configs").updated_at == CREATED
    story.when("tool_configs.patch", tool_name=KEY, patch={"a": 2})
    story.when("tool_configs.rollback", tool_name=KEY, to_version=1)
    assert story.state("tool_configs").config == {"a": 1}
    assert story.state("tool_configs").updated_at == NOW
    story.when("tool_configs.import", **CONFIGURATION, config={"a": 3}).then_refused("already_exists")


def test_an_imported_configuration_matches_the_schema_of_its_tool():
    schema = {"type": "object", "required": ["b"]}
    story = given(SchemaRegistered(schema=schema)).when(
        "tool_configs.import", **CONFIGURATION, config={"a": 1}
    )
    story.then_refused("refused", rule="config_matches_schema")
    story.when("tool_configs.import", **CONFIGURATION, config={"b": 1})
    assert story.state("tool_configs").schema is not None
    assert story.state("tool_configs").updated_at == CREATED


def test_an_imported_value_keeps_its_time_or_gets_that_of_the_import():
    story = given().when("app_state.import", key=KEY, value=[1], updated_at=CREATED)
    assert story.state("app_state").updated_at == CREATED
    assert given().when("app_state.import", key=KEY, value=[1]).state("app_state").updated_at == NOW


def test_an_imported_value_takes_the_place_of_none_but_an_expired_one():
    one = ValueSet(value=msgspec.Raw(b"1"), expires_at=NOW + 10)
    given(one).when("app_state.import", key=KEY, value=2).then_refused("already_exists")
    story = given(one).later(10).when("app_state.import", key=KEY, value=2)
    assert isinstance(story.decision.events[0][1], Expired)
    assert bytes(story.state("app_state").value) == b"2"
    story = given(one, Deleted()).when("app_state.import", key=KEY, value=2)
    assert bytes(story.state("app_state").value) == b"2"


def test_an_imported_value_has_at_most_64_kib():
    given().when("app_state.import", key=KEY, value="x" * 65_535).then_refused("too_large", path="$.value")

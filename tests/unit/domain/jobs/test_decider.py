import random
from typing import Any, get_args

import msgspec
import pytest

from domain import jobs
from domain.jobs import events
from domain.jobs import state as job_state
from domain.jobs.events import (
    Archived,
    AttemptFailed,
    AttemptTimedOut,
    Cancelled,
    CancelRequested,
    Claimed,
    Completed,
    Enqueued,
    Failed,
    Held,
    Imported,
    Interrupted,
    PayloadUpdated,
    Progressed,
    Released,
    Reprioritized,
    Rescheduled,
    Rescued,
    Retried,
    Snoozed,
    TimedOut,
)
from domain.jobs.limits import (
    MAXIMUM_RESCUES,
    PROGRESS_EVENT_INTERVAL_MS,
    RESCUE_DELAY_MS,
)
from domain.jobs.retries import JobRetry
from domain.messages import Event, Recorded
from tests.support.clock import NOW
from tests.support.domain.given_when_then import KEY, TOKEN, Story, given, raw
from tests.support.domain.job_states import BODIES, HOUR, LATER, STATES, claimed, enqueued, running, stopping

# The outcome of a verb: an event, nothing ("-"), or a refusal by its code (and rule).
STALE = "refused stale_lease"
FINISHED = "refused already_finished"
FINAL = "refused not_retryable"
BUSY = "refused not_waiting"
BEGAN = "refused already_started"
WAITING: dict[str, Any] = {
    "enqueue": "already_exists", "import": "already_exists", "claim": "-", "heartbeat": STALE,
    "progress": STALE, "complete": STALE, "fail": STALE, "snooze": STALE, "interrupt": STALE,
    "cancel": Cancelled, "ack_cancel": STALE,
    "retry": FINAL, "rescue": "-", "time_out": "-", "resolve_dependents": "-", "hold": Held,
    "release": "refused not_held",
    "reschedule": Rescheduled, "reprioritize": Reprioritized, "update_payload": PayloadUpdated,
    "archive": "refused not_finished",
}  # fmt: skip
BEGUN = WAITING | {"update_payload": BEGAN}
HELD = WAITING | {"hold": "-", "release": Released}
DUE = WAITING | {"claim": Claimed}
RUNNING: dict[str, Any] = {
    "enqueue": "already_exists", "import": "already_exists", "claim": "-", "heartbeat": "-",
    "progress": Progressed,
    "complete": Completed, "fail": AttemptFailed, "snooze": Snoozed, "interrupt": Interrupted,
    "cancel": CancelRequested, "ack_cancel": "refused cancel_not_requested", "retry": FINAL, "rescue": "-",
    "time_out": "-", "resolve_dependents": "-", "hold": BUSY, "release": "refused not_held",
    "reschedule": BUSY, "reprioritize": BUSY, "update_payload": BUSY, "archive": "refused not_finished",
}  # fmt: skip
STOPPING = RUNNING | {
    "fail": Failed, "snooze": Cancelled, "interrupt": Cancelled, "cancel": "-", "ack_cancel": Cancelled,
}  # fmt: skip
OWNED = {"hold": BUSY, "reschedule": BUSY, "reprioritize": BUSY, "update_payload": BUSY}
LOST = WAITING | OWNED | {"cancel": CancelRequested, "rescue": Rescued}
ENDED = WAITING | OWNED | {"cancel": FINISHED, "retry": Retried, "archive": Archived}
EXPECTED: dict[str, dict[str, Any]] = {
    "absent": dict.fromkeys(BODIES, "not_found") | {"enqueue": Enqueued, "import": Imported, "claim": "-"},
    "scheduled": WAITING,
    "scheduled and due": DUE,
    "pending": DUE,
    "running": RUNNING,
    "stopping": STOPPING,
    "running, expired": RUNNING | {"rescue": Rescued},
    "running, too long": RUNNING | {"time_out": AttemptTimedOut},
    "last attempt, too long": RUNNING | {"time_out": TimedOut, "fail": Failed},
    "stopping, too long": STOPPING | {"time_out": Cancelled},
    "running, lost": LOST,
    "running, lost too often": LOST | {"rescue": Failed},
    "stopping, lost": LOST | {"cancel": "-", "rescue": Cancelled},
    "retrying": BEGUN,
    "retrying and due": BEGUN | {"claim": Claimed},
    "rescued": BEGUN,
    "snoozed": BEGUN,
    "interrupted": BEGUN | {"claim": Claimed},
    "timed out once": BEGUN,
    "timed out": ENDED,
    "held from the start": HELD,
    "held": HELD,
    "held while retrying": HELD | {"update_payload": BEGAN},
    "blocked": WAITING,
    "held while blocked": HELD,
    "released": DUE,
    "rescheduled": WAITING,
    "archived": dict.fromkeys(BODIES, "not_found") | {"enqueue": Enqueued, "import": Imported, "claim": "-"},
    "completed": ENDED | {"retry": FINAL},
    "failed": ENDED,
    "cancelled": ENDED,
    "cancelled while running": ENDED,
    "retried": BEGUN | {"claim": Claimed},
    "imported while running": DUE,
}


# Verbs for many jobs do the same to each, and skip jobs for which the single verb is refused.
for _row in EXPECTED.values():
    for _verb, _one in (("cancel_many", "cancel"), ("retry_many", "retry")):
        _row[_verb] = _row[_one] if isinstance(_row[_one], type) else "-"
    _row["resolve_group"] = "-"


def test_the_table_of_states_and_verbs_has_every_verb_and_every_event():
    verbs = {verb.name for verb in jobs.DECIDER.verbs}
    reached = {result for row in EXPECTED.values() for result in row.values() if isinstance(result, type)}

    assert set(BODIES) == verbs
    assert set(EXPECTED) == set(STATES)
    assert all(set(row) == verbs for row in EXPECTED.values())
    # These need a second job, and have tests of their own.
    assert reached == set(jobs.DECIDER.events.values()) - {
        events.Replaced,
        events.DependencyMet,
        events.GroupMet,
    }


@pytest.mark.parametrize(("state", "verb"), [(state, verb) for state in STATES for verb in BODIES], ids=str)
def test_in_each_state_each_verb_leads_to_its_event_or_is_refused_by_its_rule(state: str, verb: str):
    story = STATES[state]()
    before = story.state("jobs")
    expected = EXPECTED[state][verb]

    story.when(f"jobs.{verb}", **BODIES[verb])

    if isinstance(expected, type):
        assert story.refusal is None
        assert [type(event) for _, event in story.decision.events] == [expected]
    elif expected == "-":
        story.then_nothing()
    else:
        code, *rule = expected.split()
        story.then_refused(code, **({"rule": rule[0]} if rule else {}))
        assert story.state("jobs") == before


@pytest.mark.parametrize(
    ("story", "state"),
    [
        (given(enqueued()), "pending"),
        (given(enqueued(run_at=LATER)), "scheduled"),
        (given(enqueued(), claimed()), "running"),
        (given(enqueued(), claimed(), AttemptFailed(error="x", next_run_at=LATER)), "retrying"),
        (given(enqueued(), claimed(), Rescued(next_run_at=LATER)), "retrying"),
        (given(enqueued(), claimed(), Snoozed(run_at=LATER)), "scheduled"),
        (given(enqueued(), claimed(), Interrupted()), "pending"),
        (given(enqueued(), claimed(), Progressed(percent=1)), "running"),
        (given(enqueued(), claimed(), CancelRequested()), "running"),
        (given(enqueued(), claimed(), CancelRequested(), Cancelled()), "cancelled"),
        (given(enqueued(), claimed(), Completed()), "completed"),
        (given(enqueued(), claimed(), AttemptTimedOut(error="x", next_run_at=LATER)), "retrying"),
        (given(enqueued(), claimed(), TimedOut(error="x")), "timeout"),
        (given(enqueued(held=True, run_at=LATER)), "held"),
        (given(enqueued(held=True, run_at=LATER), Released()), "scheduled"),
        (given(enqueued(), Held(), Released()), "pending"),
        (given(enqueued(), Rescheduled(run_at=LATER)), "scheduled"),
        (given(enqueued(run_at=LATER), Rescheduled(run_at=NOW)), "pending"),
        (given(enqueued(), Held(), Rescheduled(run_at=LATER)), "held"),
        (given(enqueued(), Reprioritized(priority=1)), "pending"),
        (given(enqueued(), PayloadUpdated(payload=msgspec.Raw(b"{}"))), "pending"),
        (given(enqueued(), claimed(), Failed(error="x")), "failed"),
        (given(enqueued(), claimed(), Failed(error="x"), Retried(max_attempts=5)), "pending"),
    ],
)
def test_each_event_leads_to_the_state_of_the_picture(story: Story, state: str):
    assert story.state("jobs").state == state


def test_filters_take_the_statuses_that_the_column_may_have_and_no_others():
    assert {job_state.status_of(state) for state in job_state.STATES} == set(get_args(job_state.Status))


# Enqueue


def test_enqueueing_keeps_what_was_said_and_leaves_the_rest_at_its_default():
    story = given().when(
        "jobs.enqueue", id=KEY, type="mail", name="A mail", payload={"to": "x"}, priority=4, queue="fast",
        tool="t", endpoint="e", max_attempts=7,
    )  # fmt: skip
    story.then(
        enqueued(payload=raw('{"to":"x"}'), priority=4, queue="fast", tool="t", endpoint="e", max_attempts=7)
    )
    given().when("jobs.enqueue", id=KEY, type="mail", name="A mail").then(enqueued())
    assert (enqueued().priority, enqueued().queue, enqueued().max_attempts) == (2, "default", 5)


def test_a_job_without_an_id_gets_one():
    story = given().when("jobs.enqueue", type="mail", name="A mail").then(enqueued())

    assert story.state("jobs", "id-1").state == "pending"


def test_a_job_that_should_have_run_in_the_past_is_due_now():
    given().when("jobs.enqueue", id=KEY, type="mail", name="A mail", run_at=1).then(enqueued(run_at=NOW))


@pytest.mark.parametrize("payload", [[], None, 1, "{}", True])
def test_a_payload_that_is_no_object_is_invalid(payload):
    given().when("jobs.enqueue", type="mail", name="A mail", payload=payload).then_refused(
        "invalid", path="$.payload"
    )


# Claim


def test_jobs_are_claimed_by_priority_then_run_at_then_position():
    story = Story()
    order = [(4, -9), (4, -5), (4, -5), (3, -9), (2, -7), (2, -1), (1, -9)]
    keys = [f"job-{place}" for place in range(len(order))]
    shuffled = list(zip(keys, order, strict=True))
    random.Random(7).shuffle(shuffled)
    # The two jobs with the same priority and time keep their order.
    shuffled.sort(key=lambda pair: pair[0] == "job-2")
    for key, (priority, run_at) in shuffled:
        story.given(enqueued(priority=priority, run_at=NOW + run_at), key=key)

    story.when("jobs.claim", worker="worker", limit=100)

    assert [key for key, _ in story.decision.events] == keys


def test_a_claim_takes_only_jobs_of_its_queue_and_types_that_are_due():
    story = Story()
    story.given(enqueued(), key="right")
    story.given(enqueued(type="call"), key="other-type")
    story.given(enqueued(queue="slow"), key="other-queue")
    story.given(enqueued(run_at=LATER), key="not-due")

    story.when("jobs.claim", worker="worker", types=["mail", "letter"], limit=10)

    assert [key for key, _ in story.decision.events] == ["right"]


def test_a_claim_hands_out_a_new_lease_for_each_job_with_its_row():
    story = given(enqueued(), key="a").given(enqueued(), key="b")

    story.when("jobs.claim", worker="worker", limit=2, lease_ms=5_000).then(claimed(), claimed())

    rows = story.decision.result(lambda table, key: raw(f'{{"id":"{key}"}}'))
    assert [msgspec.json.decode(row) for row in rows["jobs"]] == [
        {"id": "a", "lease": "id-1", "lease_expires_at": NOW + 5_000},
        {"id": "b", "lease": "id-2", "lease_expires_at": NOW + 5_000},
    ]
    assert story.leases["a"].token != story.leases["b"].token


def test_a_claim_that_finds_nothing_is_accepted_and_says_so():
    story = given().when("jobs.claim", worker="worker").then_nothing()

    assert story.decision.result(None) == {"jobs": []}


def test_each_claim_counts_an_attempt():
    story = given(enqueued(), claimed(), AttemptFailed(error="x", next_run_at=NOW))

    story.when("jobs.claim", worker="worker").then(claimed(attempt=2))


def test_a_claim_takes_only_as_many_jobs_as_its_answer_has_room_for():
    story = Story()
    payload = raw('{"a":"' + "x" * 99_000 + '"}')
    for place in range(12):
        story.given(enqueued(payload=payload), key=f"job-{place:02}")

    story.when("jobs.claim", worker="worker", limit=100)

    assert [key for key, _ in story.decision.events] == [f"job-{place:02}" for place in range(8)]
    story.answer_bytes_left = 1_000
    story.when("jobs.claim", worker="worker", limit=100).then_nothing()


def test_texts_that_grow_when_they_are_written_as_json_are_counted_as_what_they_weigh():
    story = Story()
    text = "\x01" * 1_000
    long = enqueued(name=text[:200], type=text[:200], tool=text[:200], endpoint=text)
    for place in range(100):
        story.given(long, key=f"job-{place:03}".ljust(200, "x"))
    story.given(Claimed(worker=text[:200], attempt=1), key="job-000".ljust(200, "x"))
    one = len(msgspec.json.encode(story.state("jobs", "job-000".ljust(200, "x"))))

    story.when("jobs.claim", worker=text[:200], types=[text[:200]], limit=100)

    assert len(story.decision.events) * one <= story.answer_bytes_left


# Fence


@pytest.mark.parametrize(
    "verb", ["heartbeat", "progress", "complete", "fail", "snooze", "interrupt", "ack_cancel"]
)
@pytest.mark.parametrize("token", ["another", "", "Token", TOKEN + "\u0000", "tok\u0435n"])
def test_whoever_shows_another_token_is_refused_whatever_its_form(verb: str, token: str):
    stopping().when(f"jobs.{verb}", **BODIES[verb] | {"lease": token}).then_refused(
        "refused", rule="stale_lease", state="running"
    )


def test_the_token_of_an_earlier_attempt_is_stale_once_the_job_was_claimed_again():
    story = given(enqueued())
    story.when("jobs.claim", worker="first")
    first = story.leases[KEY].token
    story.later(30_000).when("jobs.rescue", id=KEY).then(
        Rescued(next_run_at=story.now + RESCUE_DELAY_MS, costs_attempt=False)
    )
    story.later(RESCUE_DELAY_MS).when("jobs.claim", worker="second")
    second = story.leases[KEY].token

    assert first != second
    story.when("jobs.complete", id=KEY, lease=first).then_refused("refused", rule="stale_lease")
    story.when("jobs.complete", id=KEY, lease=second).then(Completed())


@pytest.mark.parametrize("verb", ["complete", "fail", "snooze", "interrupt", "ack_cancel"])
def test_a_lease_ends_with_the_attempt(verb: str):
    story = stopping().when(f"jobs.{verb}", **BODIES[verb])

    assert story.refusal is None
    assert story.leases == {}
    story.when(f"jobs.{verb}", **BODIES[verb]).then_refused("refused", rule="stale_lease")


# Heartbeat


def test_a_heartbeat_extends_the_lease_by_its_own_length_without_an_event():
    story = running().later(20_000).when("jobs.heartbeat", id=KEY, lease=TOKEN).then_nothing()

    assert story.leases[KEY].expires_at == NOW + 50_000
    assert story.result == {"cancel_requested": False, "lease_expires_at": NOW + 50_000}


def test_a_heartbeat_may_change_how_long_the_lease_is():
    story = running().when("jobs.heartbeat", id=KEY, lease=TOKEN, lease_ms=1_000)
    story.later(500).when("jobs.heartbeat", id=KEY, lease=TOKEN)

    assert (story.leases[KEY].lease_ms, story.leases[KEY].expires_at) == (1_000, NOW + 1_500)


@pytest.mark.parametrize("verb", ["heartbeat", "progress"])
def test_a_worker_that_calls_learns_that_it_is_asked_to_stop(verb: str):
    assert running().when(f"jobs.{verb}", **BODIES[verb]).result["cancel_requested"] is False
    assert stopping().when(f"jobs.{verb}", **BODIES[verb]).result["cancel_requested"] is True


# Progress


def test_progress_is_said_at_once_and_kept_at_most_every_thirty_seconds():
    story = running()
    story.when("jobs.progress", id=KEY, lease=TOKEN, percent=10, note="a").then(
        Progressed(percent=10, note="a")
    )
    story.later(PROGRESS_EVENT_INTERVAL_MS - 1).when("jobs.progress", id=KEY, lease=TOKEN, percent=20)
    story.then_nothing()
    [notice] = story.decision.notices
    assert notice.topic == ("jobs", KEY, "progress")
    assert notice.body == {"id": KEY, "percent": 20.0, "note": None, "at": story.now}
    story.later(1).when("jobs.progress", id=KEY, lease=TOKEN, percent=30).then(Progressed(percent=30))


def test_a_new_attempt_begins_without_progress():
    story = running().given(Progressed(percent=90), Interrupted(), claimed())

    assert story.state("jobs").progress is None
    story.leased().when("jobs.progress", id=KEY, lease=TOKEN, percent=1).then(Progressed(percent=1))


# Fail


def test_a_failed_attempt_is_due_again_after_its_backoff():
    story = running().chance(0.5).when("jobs.fail", id=KEY, lease=TOKEN, error="x")

    story.then(AttemptFailed(error="x", next_run_at=NOW + 3_750))
    assert (story.state("jobs").run_at, story.state("jobs").retry_count) == (NOW + 3_750, 1)


def test_whoever_fails_may_say_when_to_try_again_but_not_in_the_past():
    running().when("jobs.fail", id=KEY, lease=TOKEN, error="x", retry_at=LATER).then(
        AttemptFailed(error="x", next_run_at=LATER)
    )
    running().when("jobs.fail", id=KEY, lease=TOKEN, error="x", retry_at=0).then(
        AttemptFailed(error="x", next_run_at=NOW)
    )


def test_the_last_attempt_fails_for_good():
    story = given(enqueued(max_attempts=2), claimed(), AttemptFailed(error="x", next_run_at=NOW))
    story.given(claimed(attempt=2)).leased()

    story.when("jobs.fail", id=KEY, lease=TOKEN, error="y", retry_at=LATER).then(Failed(error="y"))


def test_what_is_not_retryable_fails_for_good():
    running().when("jobs.fail", id=KEY, lease=TOKEN, error="x", retryable=False).then(Failed(error="x"))


def test_a_job_that_was_asked_to_stop_is_not_retried_when_it_fails():
    stopping().when("jobs.fail", id=KEY, lease=TOKEN, error="x", retry_at=LATER).then(Failed(error="x"))


# Snooze, interrupt


def test_snoozing_and_interrupting_do_not_count_the_attempt():
    story = running().when("jobs.snooze", id=KEY, lease=TOKEN, run_at=LATER).then(Snoozed(run_at=LATER))
    assert (story.state("jobs").attempt, story.state("jobs").run_at) == (0, LATER)
    story.at(LATER).when("jobs.claim", worker="worker").then(claimed(attempt=1))

    story = running().later(10).when("jobs.interrupt", id=KEY, lease=TOKEN).then(Interrupted())
    assert (story.state("jobs").attempt, story.state("jobs").run_at) == (0, NOW + 10)
    story.when("jobs.claim", worker="worker").then(claimed(attempt=1))


def test_a_job_is_not_snoozed_into_the_past():
    running().when("jobs.snooze", id=KEY, lease=TOKEN, run_at=5).then(Snoozed(run_at=NOW))


def test_a_worker_that_lets_go_of_a_job_it_was_asked_to_stop_agrees_to_that():
    stopping().when("jobs.snooze", id=KEY, lease=TOKEN, run_at=LATER).then(Cancelled(reason="no need"))
    stopping().when("jobs.interrupt", id=KEY, lease=TOKEN).then(Cancelled(reason="no need"))


# Cancel


def test_cancelling_a_running_job_is_a_flag_and_the_worker_may_still_complete_it():
    story = running().when("jobs.cancel", id=KEY, reason="no need").then(CancelRequested(reason="no need"))
    assert story.state("jobs").state == "running"
    assert story.state("jobs").cancel_requested

    story.when("jobs.complete", id=KEY, lease=TOKEN, result={"done": True}).then(
        Completed(result=raw('{"done":true}'))
    )
    assert story.state("jobs").state == "completed"


def test_agreeing_to_a_cancellation_repeats_its_reason():
    stopping().when("jobs.ack_cancel", id=KEY, lease=TOKEN).then(Cancelled(reason="no need"))


# Rescue


def test_a_job_is_rescued_once_its_lease_has_run_out_and_not_before():
    story = running().later(29_999).when("jobs.rescue", id=KEY).then_nothing()
    story.later(1).when("jobs.rescue", id=KEY).then(Rescued(next_run_at=NOW + 35_000, costs_attempt=False))

    assert (story.state("jobs").recovery_attempts, story.state("jobs").attempt) == (1, 0)
    assert story.leases == {}


def test_a_heartbeat_that_comes_before_the_rescue_keeps_the_job():
    story = running().later(40_000).when("jobs.heartbeat", id=KEY, lease=TOKEN)

    story.when("jobs.rescue", id=KEY).then_nothing()


def test_a_lost_worker_costs_no_attempt_unless_that_was_asked_for():
    story = running(max_attempts=2).later(30_000).when("jobs.rescue", id=KEY).later(RESCUE_DELAY_MS)
    story.when("jobs.claim", worker="worker").then(claimed(attempt=1))

    asked = running(max_attempts=2, retry=JobRetry(delays_ms=(7_000,), crashes_count=True)).later(30_000)
    asked.when("jobs.rescue", id=KEY).then(Rescued(next_run_at=asked.now + 7_000))
    asked.later(7_000).when("jobs.claim", worker="worker").then(claimed(attempt=2))
    asked.later(30_000).when("jobs.rescue", id=KEY)
    asked.then(Failed(error="its worker was lost, which counts, and no attempt is left"))


def test_a_job_that_took_three_workers_with_it_is_set_aside():
    story = given(enqueued(max_attempts=1))
    for rescues in range(1, MAXIMUM_RESCUES + 1):
        story.when("jobs.claim", worker="worker").later(30_000).when("jobs.rescue", id=KEY)
        story.then(Rescued(next_run_at=story.now + RESCUE_DELAY_MS, costs_attempt=False)).later(
            RESCUE_DELAY_MS
        )
        assert story.state("jobs").recovery_attempts == rescues
    story.when("jobs.claim", worker="worker").later(30_000).when("jobs.rescue", id=KEY)

    [(_, failed)] = story.decision.events
    assert isinstance(failed, Failed)
    assert failed.error.startswith("set aside, since 3 workers were lost while they had it")
    assert (story.state("jobs").state, story.state("jobs").recovery_attempts) == ("failed", 2)
    story.when("jobs.retry", id=KEY).when("jobs.claim", worker="worker").later(30_000)
    story.when("jobs.rescue", id=KEY).then(
        Rescued(next_run_at=story.now + RESCUE_DELAY_MS, costs_attempt=False)
    )


def test_a_lost_job_that_was_asked_to_stop_is_cancelled():
    stopping().later(30_000).when("jobs.rescue", id=KEY).then(Cancelled(reason="no need"))


# Retry


def test_retrying_a_job_that_is_out_of_attempts_gives_it_one_more_and_a_clean_slate():
    story = given(enqueued(max_attempts=1), claimed(), Rescued(next_run_at=NOW), claimed()).leased()
    story.given(CancelRequested(reason="no need"))
    assert story.state("jobs").recovery_attempts == 1
    story.when("jobs.fail", id=KEY, lease=TOKEN, error="x").later(10)

    story.when("jobs.retry", id=KEY).then(Retried(max_attempts=2))

    job = story.state("jobs")
    assert (job.run_at, job.completed_at, job.recovery_attempts) == (NOW + 10, None, 0)
    assert (job.cancel_requested, job.cancel_reason) == (False, None)
    story.when("jobs.claim", worker="worker").then(claimed(attempt=2))


def test_retrying_leaves_attempts_that_are_left_as_they_are():
    given(enqueued(), Cancelled()).when("jobs.retry", id=KEY).then(Retried(max_attempts=5))


# State


def test_the_times_of_a_job_are_those_of_its_events():
    story = given(enqueued()).later(1).given(claimed()).later(1).given(Interrupted())
    story.later(1).given(claimed()).later(1).given(Completed(result=raw("[1]")))
    job = story.state("jobs")

    assert (job.created_at, job.updated_at) == (NOW, NOW + 4)
    assert (job.started_at, job.attempt_started_at, job.completed_at) == (NOW + 1, NOW + 3, NOW + 4)
    assert (job.created_position, job.attempt_position) == (1, 4)


def test_a_result_that_is_null_is_no_result():
    assert given(enqueued()).state("jobs").result == events.NO_RESULT
    assert given(enqueued(), claimed(), Completed()).state("jobs").result == events.NO_RESULT
    assert (
        given(enqueued(), claimed(), Completed(result=raw("null"))).state("jobs").result == events.NO_RESULT
    )


def test_a_foreign_event_is_not_taken_for_one_of_a_job():
    class Strange(Event, frozen=True, kw_only=True):
        pass

    with pytest.raises(TypeError):
        job_state.evolve(given(enqueued()).state("jobs"), Recorded(2, KEY, 2, NOW, Strange()))


# Changes by people


def test_a_released_job_is_due_at_its_time_and_at_once_if_that_has_passed():
    story = given(enqueued(run_at=LATER), Held()).at(LATER)

    story.when("jobs.claim", worker="worker").then_nothing()
    story.when("jobs.release", id=KEY).when("jobs.claim", worker="worker").then(claimed())


def test_a_job_is_enqueued_held():
    story = given().when("jobs.enqueue", id=KEY, type="mail", name="A mail", hold=True)

    story.then(enqueued(held=True))
    story.when("jobs.claim", worker="worker").then_nothing()


def test_what_is_so_already_is_not_changed():
    story = given(enqueued(priority=3, payload=raw('{"a":1}'), run_at=LATER))

    story.when("jobs.reprioritize", id=KEY, priority=3).then_nothing()
    story.when("jobs.update_payload", id=KEY, payload={"a": 1}).then_nothing()
    story.when("jobs.reschedule", id=KEY, run_at=LATER).then_nothing()


def test_a_job_is_not_rescheduled_into_the_past():
    story = given(enqueued(run_at=LATER)).when("jobs.reschedule", id=KEY, run_at=0)

    story.then(Rescheduled(run_at=NOW))
    assert story.state("jobs").state == "pending"


def test_a_payload_is_changed_to_an_object_only():
    given(enqueued()).when("jobs.update_payload", id=KEY, payload=[]).then_refused(
        "invalid", path="$.payload"
    )


def test_tags_are_kept_once_each_in_their_order():
    story = given().when("jobs.enqueue", id=KEY, type="mail", name="A mail", tags=["b", "a", "b"])

    story.then(enqueued(tags=("b", "a")))
    assert story.state("jobs").tags == ("b", "a")


def test_an_archived_job_is_gone_and_its_id_is_free():
    story = given(enqueued(), Cancelled()).when("jobs.archive", id=KEY).then(Archived())

    assert story.state("jobs") is None
    story.when("jobs.enqueue", id=KEY, type="mail", name="Another").then(enqueued(name="Another"))
    assert story.state("jobs").attempt == 0


def test_a_traceback_goes_with_the_error_that_it_is_of():
    story = running(timeout_ms=60_000)
    story.chance(0.5).when("jobs.fail", id=KEY, lease=TOKEN, error="x", traceback="line 7")
    story.then(AttemptFailed(error="x", traceback="line 7", next_run_at=NOW + 3_750))
    assert story.state("jobs").traceback == "line 7"

    # It stays as long as its error does.
    story.given(claimed(attempt=2)).leased()
    assert (story.state("jobs").error, story.state("jobs").traceback) == ("x", "line 7")
    story.later(60_000).when("jobs.time_out", id=KEY)
    assert (story.state("jobs").error[:11], story.state("jobs").traceback) == ("the attempt", None)

    story.given(claimed(attempt=3)).leased()
    story.when("jobs.fail", id=KEY, lease=TOKEN, error="y", traceback="line 8", retryable=False)
    story.then(Failed(error="y", traceback="line 8"))
    story.given(Retried(max_attempts=5), claimed(attempt=4)).leased().when(
        "jobs.complete", id=KEY, lease=TOKEN
    )
    assert (story.state("jobs").error, story.state("jobs").traceback) == (None, None)


# Deadlines


def test_an_attempt_that_takes_too_long_is_ended_although_its_worker_is_alive():
    story = running(timeout_ms=60_000).leased(lease_ms=HOUR).later(59_999)
    story.when("jobs.time_out", id=KEY).then_nothing()
    story.later(1).when("jobs.heartbeat", id=KEY, lease=TOKEN)
    story.chance(0.5).when("jobs.time_out", id=KEY)

    story.then(AttemptTimedOut(error="the attempt took longer than 60000 ms", next_run_at=story.now + 3_750))
    assert story.leases == {}
    assert (story.state("jobs").state, story.state("jobs").deadline_at) == ("retrying", None)
    story.when("jobs.complete", id=KEY, lease=TOKEN).then_refused("refused", rule="stale_lease")


def test_completion_wins_over_a_deadline_that_has_passed_unnoticed():
    running().leased(lease_ms=HOUR).later(900_001).when("jobs.complete", id=KEY, lease=TOKEN).then(
        Completed()
    )


def test_each_attempt_has_the_whole_of_its_time():
    story = given(enqueued(timeout_ms=10_000), claimed()).later(9_999).given(Interrupted(), claimed())

    assert story.state("jobs").deadline_at == NOW + 19_999

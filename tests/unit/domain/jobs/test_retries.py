"""When a job is tried again: by the policy that it has chosen, or as any job."""

from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.jobs.commands import Enqueue
from domain.jobs.events import AttemptFailed, AttemptTimedOut
from domain.jobs.limits import MAXIMUM_RETRY_DELAY_MS, MAXIMUM_RETRY_DELAYS
from domain.jobs.retries import JobRetry, RetryPolicy, delay_ms, stored_retry
from hyperpage_client.commands.jobs import Enqueue as Asked
from hyperpage_client.commands.jobs import RetryPolicy as AskedPolicy
from hyperpage_client.errors import Invalid
from hyperpage_client.testing.memory import MemoryJob, check, delay_of
from tests.support.clock import NOW
from tests.support.domain.given_when_then import KEY, TOKEN, Story, given
from tests.support.domain.job_states import HOUR, claimed, enqueued

DELAYS = st.integers(1, MAXIMUM_RETRY_DELAY_MS)
CHANCES = st.floats(0, 1, exclude_max=True)
ATTEMPTS = st.integers(1, 2**31)
SHARES = st.none() | st.floats(0, 1)


@st.composite
def growing(draw: st.DrawFn) -> JobRetry:
    base, cap = sorted((draw(DELAYS), draw(DELAYS)))
    return JobRetry(base_ms=base, cap_ms=cap, factor=draw(st.floats(1, 10)), jitter=draw(SHARES))


@for_all(st.integers(1, 100_000), CHANCES)
def test_a_policy_of_the_defaults_gives_what_no_policy_gives_with_chance_in_the_longest_too(attempt, chance):
    always = int(min(3_600_000, 5_000 * 2 ** min(attempt - 1, 32)) / 2 * (1 + chance))

    assert delay_ms(None, attempt, chance) == always
    assert delay_ms(JobRetry(), attempt, chance) == always
    # Said or left out, it is the same command, and the same event.
    assert stored_retry(RetryPolicy()) is None


@for_all(growing(), ATTEMPTS, CHANCES)
def test_delays_grow_and_lie_between_what_chance_leaves_of_them_and_their_cap(policy, attempt, chance):
    share = 0.5 if policy.jitter is None else policy.jitter
    delay = delay_ms(policy, attempt, chance)

    assert delay <= delay_ms(policy, attempt + 1, chance)
    assert int(policy.base_ms * (1 - share)) <= delay <= policy.cap_ms
    if delay_ms(msgspec.structs.replace(policy, jitter=0.0), attempt, chance) == policy.cap_ms:
        # Also at the longest delay, jobs that failed together do not all come back at once.
        assert delay == int(policy.cap_ms * (1 - share + share * chance))
    assert delay_ms(policy, 1, chance) <= policy.base_ms


@for_all(
    st.lists(st.integers(0, MAXIMUM_RETRY_DELAY_MS), min_size=1, max_size=MAXIMUM_RETRY_DELAYS),
    ATTEMPTS,
    CHANCES,
    SHARES,
)
def test_of_a_list_each_attempt_has_its_own_delay_and_the_last_one_repeats(delays, attempt, chance, share):
    listed = delays[min(attempt, len(delays)) - 1]
    delay = delay_ms(JobRetry(delays_ms=tuple(delays), jitter=share), attempt, chance)

    assert int(listed * (1 - (share or 0))) <= delay <= listed


@for_all(growing() | st.just(JobRetry(delays_ms=(0, 5, 3))), st.integers(1, 1_000))
def test_the_queue_in_memory_waits_for_as_long_as_a_job_may_have_to(policy, attempt):
    job = MemoryJob("a", Asked(type="mail", retry=AskedPolicy(**msgspec.structs.asdict(policy))), NOW)
    job.attempt = attempt

    assert delay_of(job) == delay_ms(msgspec.structs.replace(policy, jitter=0.0), attempt, 0.5)


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (
            {"delays_ms": [1], "factor": 3},
            r"either delays_ms, or base_ms, factor and cap_ms - at `\$\.retry`",
        ),
        ({"delays_ms": []}, r"length >= 1 - at `\$\.retry\.delays_ms`"),
        ({"delays_ms": [1] * 101}, r"length <= 100 - at `\$\.retry\.delays_ms`"),
        ({"delays_ms": [-1]}, r">= 0 - at `\$\.retry\.delays_ms\[0\]`"),
        ({"base_ms": 4_000, "cap_ms": 3_000}, r"cap_ms is at least base_ms - at `\$\.retry`"),
        ({"factor": 0.5}, r">= 1\.0 - at `\$\.retry\.factor`"),
        ({"jitter": 1.5}, r"<= 1\.0 - at `\$\.retry\.jitter`"),
        ({"cap_ms": MAXIMUM_RETRY_DELAY_MS + 1}, r"at `\$\.retry\.cap_ms`"),
        ({"crashes": True}, r"unknown field `crashes` - at `\$\.retry`"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_as_it_is_read(policy: dict[str, Any], why: str):
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert({"type": "mail", "retry": policy}, Enqueue)


def test_a_first_delay_that_is_longer_than_the_longest_of_any_job_is_the_longest_where_no_other_is_said():
    kept = stored_retry(RetryPolicy(base_ms=7_200_000))
    job = MemoryJob("a", Asked(type="mail", retry=AskedPolicy(base_ms=7_200_000)), NOW)
    job.attempt = 2

    assert kept == JobRetry(base_ms=7_200_000, cap_ms=7_200_000)
    assert [delay_ms(kept, attempt, 0.0) for attempt in (1, 2)] == [3_600_000, 3_600_000]
    assert delay_of(job) == 7_200_000


@for_all(
    st.builds(
        AskedPolicy,
        base_ms=st.sampled_from([0, 4_999, 5_000, 3_600_001, MAXIMUM_RETRY_DELAY_MS]),
        factor=st.sampled_from([0.5, 1.0, 2.0, 11.0]),
        cap_ms=st.sampled_from([1, 5_000, 3_600_000, MAXIMUM_RETRY_DELAY_MS + 1]),
        jitter=st.sampled_from([None, 0.0, 1.5]),
        delays_ms=st.sampled_from([None, [], [0], [-1], [1] * 101]),
    )
)
def test_the_queue_in_memory_refuses_what_the_service_refuses(policy):
    asked = Asked(type="mail", retry=policy)
    try:
        msgspec.convert(msgspec.to_builtins(asked), Enqueue)
    except msgspec.ValidationError:
        with pytest.raises(Invalid, match=r" - at `\$\.retry"):
            check(asked)
    else:
        check(asked)


def test_attempts_that_fail_or_take_too_long_wait_by_the_policy_unless_the_worker_says_when():
    retry = {"delays_ms": [1_000, 2_000, 3_000]}
    story = Story().when("jobs.enqueue", id=KEY, type="mail", retry=retry)
    story.when("jobs.claim", worker="worker", lease_ms=HOUR)
    story.when("jobs.fail", id=KEY, lease=token(story), error="x")
    story.then(AttemptFailed(error="x", next_run_at=story.now + 1_000))
    story.later(1_000).when("jobs.claim", worker="worker", lease_ms=HOUR).later(900_000)
    story.when("jobs.time_out", id=KEY)
    story.then(AttemptTimedOut(error="the attempt took longer than 900000 ms", next_run_at=story.now + 2_000))
    story.later(2_000).when("jobs.claim", worker="worker")
    story.when("jobs.fail", id=KEY, lease=token(story), error="x", retry_at=story.now + 7)
    story.then(AttemptFailed(error="x", next_run_at=story.now + 7))


def token(story: Story) -> str:
    return story.leases[KEY].token


def test_a_job_that_takes_the_place_of_another_brings_its_policy():
    story = given(enqueued(unique_key="k", retry=JobRetry(factor=3)))
    unique = {"key": "k", "on_conflict": "replace"}
    story.when("jobs.enqueue", type="mail", unique=unique, retry={"base_ms": 1, "jitter": 0})

    assert story.state("jobs").retry == JobRetry(base_ms=1, jitter=0.0)
    story.given(claimed()).leased().when("jobs.fail", id=KEY, lease=TOKEN, error="x")
    story.then(AttemptFailed(error="x", next_run_at=NOW + 1))


def test_the_jobs_of_a_schedule_have_its_policy():
    story = Story().when(
        "schedules.set", id="s", every_ms=60_000, job={"type": "t", "name": "n", "retry": {"factor": 1}}
    )
    story.when("schedules.trigger", id="s")

    assert story.state("jobs", story.decision.result.id).retry == JobRetry(factor=1)

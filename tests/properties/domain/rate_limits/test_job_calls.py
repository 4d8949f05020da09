"""Jobs that draw on a rate limit: never more calls than it has, and none of them waits for ever.

Workers claim, call, tell what they were answered in any order, and finish or are lost, beside a platform that
counts for itself, by a clock of its own.
"""

from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.jobs.state import FINISHED
from domain.rate_limits.ledger import LATEST_MS
from tests.support.clock import HOUR_MS
from tests.support.domain.indexed_story import IndexedStory
from tests.support.domain.platform import Answered, Platform, Window, of_the_ietf
from tests.support.examples import examples

CORE = {"platform": "github", "resource": "core"}
LEASE_MS = 30_000
LIMIT = 9
WINDOW_MS = 120_000
SHORT_LIMIT, SHORT_WINDOW_MS = 4, 20_000
TYPES = ("sync", "mail")


class Attempt(NamedTuple):
    job: str
    lease: str
    calls_left: int
    lost_at: int


class Told(NamedTuple):
    """An answer that is on its way to the service."""

    at: int
    answered: Answered


class Workers(RuleBasedStateMachine):
    """Any number of workers; each reports its responses sooner or later."""

    @initialize(
        limit=st.sampled_from([LIMIT, LIMIT, 0]),
        ahead_ms=st.integers(-60_000, 60_000),
        used=st.integers(0, LIMIT - 1),
        has_short=st.booleans(),
    )
    def begin(self, limit: int, ahead_ms: int, used: int, has_short: bool) -> None:
        """Begins with a platform of one policy, of two at once, or of one that lets no call through."""
        self.story = IndexedStory()
        self.platform = Platform(limit=limit, window_ms=WINDOW_MS, ahead_ms=ahead_ms)
        if has_short:
            self.platform.short = Window(limit=SHORT_LIMIT, window_ms=SHORT_WINDOW_MS)
            self.platform.dialect = of_the_ietf
        self.attempts: list[Attempt] = []
        self.told: list[Told] = []
        self.jobs = 0
        # Another client has made some calls before the first observation, perhaps too many.
        for _ in range(used):
            self.platform.call(self.story.now)
        self.told.append(Told(self.story.now, self.platform.call(self.story.now)))
        self.tell(0, says_when=False)
        self.refused_before = self.platform.refused

    @rule(cost=st.integers(0, LIMIT + 1), count=st.integers(1, 4), kind=st.sampled_from(TYPES))
    def enqueue(self, cost: int, count: int, kind: str) -> None:
        for _ in range(count):
            self.jobs += 1
            # Without any calls, it draws on nothing.
            budget = CORE | {"cost": cost} if cost else None
            self.story.when("jobs.enqueue", id=f"job-{self.jobs}", type=kind, budget=budget)

    @rule(cost=st.integers(1, LIMIT), ttl_ms=st.sampled_from([1_000, 20_000, HOUR_MS]))
    def reserve(self, cost: int, ttl_ms: int) -> None:
        # No worker makes these calls, and the reservation is never released.
        self.story.when("rate_limits.reserve", **CORE, cost=cost, ttl_ms=ttl_ms)

    @rule(limit=st.integers(1, 5), types=st.none() | st.lists(st.sampled_from(TYPES), min_size=1))
    def claim(self, limit: int, types: list[str] | None = None) -> None:
        self.story.when("jobs.claim", worker="w", limit=limit, lease_ms=LEASE_MS, types=types)
        for job_id, lease in self.story.decision.leases.items():
            assert lease is not None
            self.attempts.append(Attempt(job_id, lease.token, self.cost_of(job_id), lease.expires_at))

    def cost_of(self, job_id: str) -> int:
        budget = self.story.state("jobs", job_id).budget
        return 0 if budget is None else min(self.most, budget.cost)

    @property
    def most(self) -> int:
        """The most calls of one job, which makes no more than a window has."""
        return LIMIT if self.platform.short is None else SHORT_LIMIT

    @precondition(lambda self: any(one.calls_left for one in self.attempts))
    @rule(which=st.integers(0, 99))
    def call(self, which: int) -> None:
        able = [one for one in self.attempts if one.calls_left]
        attempt = able[which % len(able)]
        self.told.append(Told(self.story.now, self.platform.call(self.story.now)))
        place = self.attempts.index(attempt)
        self.attempts[place] = attempt._replace(calls_left=attempt.calls_left - 1)

    @precondition(lambda self: self.told)
    @rule(which=st.integers(0, 99), says_when=st.booleans())
    def tell(self, which: int, says_when: bool) -> None:
        told = self.told.pop(which % len(self.told))
        body = {**CORE, "status": told.answered.status, "headers": told.answered.headers}
        if says_when:
            body["observed_at"] = told.at
        self.story.when("rate_limits.observe_response", **body)

    @precondition(lambda self: self.attempts)
    @rule(
        which=st.integers(0, 99),
        verb=st.sampled_from(["complete", "fail", "interrupt"]),
        counts=st.booleans(),
    )
    def end(self, which: int, verb: str, counts: bool) -> None:
        attempt = self.attempts.pop(which % len(self.attempts))
        body: dict[str, Any] = {"id": attempt.job, "lease": attempt.lease}
        if verb == "fail":
            body |= {"error": "no luck", "retry_at": self.story.now}
        if counts:
            body["calls"] = self.cost_of(attempt.job) - attempt.calls_left
        self.story.when(f"jobs.{verb}", **body)
        assert self.story.refusal is None

    @rule(milliseconds=st.sampled_from([1, 999, 5_000, 14_000, LATEST_MS]))
    def time_passes(self, milliseconds: int) -> None:
        # No response is reported later than that.
        while self.told and self.story.now + milliseconds - self.told[0].at > LATEST_MS:
            self.tell(0, says_when=False)
        self.story.later(milliseconds)
        for lost in [one for one in self.attempts if one.lost_at <= self.story.now]:
            self.attempts.remove(lost)
            self.story.when("jobs.rescue", id=lost.job)

    @invariant()
    def nobody_is_refused(self) -> None:
        assert self.platform.refused == self.refused_before

    @invariant()
    def nobody_has_a_job_where_there_are_no_calls(self) -> None:
        assert self.platform.limit or not any(self.cost_of(one.job) for one in self.attempts)

    def teardown(self) -> None:
        """After any history, all jobs can be done in the end."""
        while self.attempts:
            self.end(0, verb="interrupt", counts=False)
        while self.told:
            self.tell(0, says_when=True)
        if self.platform.limit == 0:
            # A call of another client shows that there are calls from now on.
            self.platform.limit = LIMIT
            self.story.later(WINDOW_MS)
            self.told.append(Told(self.story.now, self.platform.call(self.story.now)))
            self.tell(0, says_when=False)
        for number in range(8 * self.jobs + 8):
            self.claim(5)
            if not self.attempts:
                # The longest that a worker is told to wait: until a window of unknown length is over.
                self.time_passes(LATEST_MS if number % 2 else HOUR_MS)
            while self.attempts:
                while self.attempts[0].calls_left:
                    self.call(0)
                    self.tell(-1, says_when=False)
                self.end(0, verb="complete", counts=False)
        states = (self.story.state("jobs", f"job-{number + 1}").state for number in range(self.jobs))
        assert FINISHED.issuperset(states)
        self.nobody_is_refused()


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=examples(40), stateful_step_count=40, deadline=None)

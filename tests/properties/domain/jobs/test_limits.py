"""Limits of jobs: never more than one says, none of what may run stays behind, and everything gets done.

Workers claim, finish, give back and are lost; commands are taken back, the store is opened again.
"""

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.jobs.events import Claimed
from domain.jobs.state import FINISHED
from domain.limiting import CountedRate
from tests.support.domain.given_when_then import Story
from tests.support.domain.indexed_story import IndexedStory
from tests.support.examples import examples

TYPES, QUEUES = ("sync", "mail"), ("default", "other")
WINDOWS = (1_000, 60_000)

keys = st.none() | st.sampled_from(["a", "b", "c"])
concurrencies: Any = st.none() | st.builds(dict, key=keys, limit=st.none() | st.integers(1, 3))
rates: Any = st.none() | st.builds(
    dict, key=keys, limit=st.integers(1, 3), window_ms=st.sampled_from(WINDOWS)
)


class Limits(RuleBasedStateMachine):
    """A plain model beside the indexes: all that is known is looked through each time."""

    @initialize()
    def begin(self) -> None:
        self.story = IndexedStory()
        self.leases: dict[str, str] = {}
        self.jobs = 0

    @rule(
        concurrency=concurrencies,
        rate=rates,
        count=st.integers(1, 4),
        kind=st.sampled_from(TYPES),
        queue=st.sampled_from(QUEUES),
        priority=st.integers(2, 3),
        later=st.sampled_from([0, 0, 500]),
    )
    def enqueue(self, *, count: int, kind: str, later: int, **body: Any) -> None:
        for _ in range(count):
            self.jobs += 1
            run_at = self.story.now + later
            self.story.when("jobs.enqueue", id=f"job-{self.jobs}", type=kind, run_at=run_at, **body)

    @rule(
        queue=st.sampled_from(QUEUES),
        concurrency=st.none() | st.integers(1, 3),
        rate=st.none() | st.builds(dict, limit=st.integers(1, 3), window_ms=st.sampled_from(WINDOWS)),
    )
    def limit_queue(self, **body: Any) -> None:
        self.story.when("jobs.limit_queue", **body)

    @rule(
        limit=st.integers(1, 5),
        types=st.none() | st.lists(st.sampled_from(TYPES), min_size=1),
        queue=st.sampled_from(QUEUES),
        taken_back=st.booleans(),
    )
    def claim(self, limit: int, types: list[str] | None, queue: str, taken_back: bool) -> None:
        before, leases = self.story.changes, dict(self.story.leases)
        may_run = Story.due_jobs(self.story, queue, types, 1).jobs
        self.story.when("jobs.claim", worker="w", limit=limit, types=types, queue=queue)
        claimed = list(self.story.decision.leases)
        if claimed:
            assert self.story.state("jobs", claimed[0]).priority == may_run[0].priority
        for job_id in claimed:
            self._may_have_run(job_id)
        if len(claimed) < limit:
            self._nothing_is_left(queue, types, limit - len(claimed))
        if taken_back:
            self.story.undo(before)
            self.story.leases = leases
            return
        self.leases |= {job_id: lease.token for job_id, lease in self.story.decision.leases.items() if lease}

    def _may_have_run(self, job_id: str) -> None:
        job = self.story.state("jobs", job_id)
        if job.concurrency is not None and job.concurrency.limit is not None:
            running = [one for one in self.story._jobs() if one.state == "running"]
            of_key = [
                one for one in running if one.concurrency and one.concurrency.key == job.concurrency.key
            ]
            # Jobs behind it in the same claim may have other limits: each job is checked by its own.
            before = [one for one in of_key if one.attempt_position <= job.attempt_position]
            assert len(before) <= job.concurrency.limit
        for counted in job.counted:
            begun = self._begun(counted, up_to=job.attempt_position)
            assert len(begun) <= self._limit_of(counted, job)

    def _limit_of(self, counted: CountedRate, job: Any) -> int:
        limit: int = self.story.state("queues", counted.queue).rate.limit if counted.queue else job.rate.limit
        return limit

    def _begun(self, counted: CountedRate, up_to: int) -> list[int]:
        """The begins in the window that ends now."""
        return [
            recorded.recorded_at
            for events in self.story.streams.values()
            for recorded in events
            if isinstance(recorded.event, Claimed) and counted in recorded.event.counted
            if recorded.position <= up_to and recorded.recorded_at > self.story.now - counted.window_ms
        ]

    def _nothing_is_left(self, queue: str, types: list[str] | None, limit: int) -> None:
        """Checks that a claim with too few jobs says why, and when to ask again at the latest."""
        result = self.story.decision.result(lambda *_: b"{}")
        known = self.story.state("queues", queue)
        if known is not None:
            if known.concurrency is not None and known.concurrency <= self.story.running_in(queue):
                return
            if known.rate is not None:
                room, _ = self.story.rate_room(known.rate.counted(queue), known.rate.limit)
                if not room:
                    return
        left = Story.due_jobs(self.story, queue, types, limit)
        assert left.jobs == []
        if left.waits_for_ends:
            # If jobs wait for both, either may be told.
            assert "waits_for_ends" in result or "retry_after_ms" in result
        elif left.retry_at is not None:
            assert result["retry_after_ms"] <= left.retry_at - self.story.now

    @precondition(lambda self: self.leases)
    @rule(which=st.integers(0, 99), verb=st.sampled_from(["complete", "fail", "interrupt", "snooze"]))
    def end(self, which: int, verb: str) -> None:
        job_id = sorted(self.leases)[which % len(self.leases)]
        body: dict[str, Any] = {"id": job_id, "lease": self.leases.pop(job_id)}
        if verb == "fail":
            body |= {"error": "no luck", "retry_at": self.story.now}
        elif verb == "snooze":
            body["run_at"] = self.story.now + 700
        self.story.when(f"jobs.{verb}", **body)
        assert self.story.refusal is None

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 99), verb=st.sampled_from(["cancel", "hold", "release", "reprioritize"]))
    def change(self, which: int, verb: str) -> None:
        body: dict[str, Any] = {"priority": 4} if verb == "reprioritize" else {}
        self.story.when(f"jobs.{verb}", id=f"job-{which % self.jobs + 1}", **body)

    @rule(milliseconds=st.sampled_from([1, 400, 1_000, 29_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.story.settle()
        self.story.later(milliseconds)
        for job_id in [one for one in self.leases if self.story.leases[one].expires_at <= self.story.now]:
            del self.leases[job_id]
            self.story.when("jobs.rescue", id=job_id)

    @rule()
    def the_store_is_opened_again(self) -> None:
        self.story.settle()
        self.story.reopened()

    @invariant()
    def what_runs_is_counted(self) -> None:
        running = (
            job.concurrency.key
            for job in self.story._jobs()
            if job.state == "running" and job.concurrency is not None
        )
        assert self.story.indexes.running.all() == Counter(running)

    def teardown(self) -> None:
        """After any history, all jobs can be done in the end."""
        for number in range(1, self.jobs + 1):
            self.story.when("jobs.release", id=f"job-{number}")
        for _ in range(6 * self.jobs + 6):
            for queue in QUEUES:
                self.claim(5, None, queue, taken_back=False)
            while self.leases:
                self.end(0, "complete")
            self.time_passes(30_000)
        states = (self.story.state("jobs", f"job-{number + 1}").state for number in range(self.jobs))
        assert FINISHED.issuperset(states)


TestLimits = Limits.TestCase
TestLimits.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)

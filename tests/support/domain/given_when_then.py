"""Given events, when a command, then events or a refusal: deciders told as stories.

    given(enqueued(), claimed()).leased().when("jobs.complete", id="one", lease=TOKEN).then(Completed())

A story is the context of its decisions, and pure: its clock stands still until `at` moves it, its ids
count up, its random number is set by `chance`. Accepted commands take effect, so that a story can go on.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Set
from types import NoneType
from typing import Any, Self, get_args

import msgspec

from bus.writing.cron import cron_time
from domain.catalogue import BY_TABLE, DECIDERS, VERBS
from domain.decider import Decision, Due, Lease, Verb
from domain.errors import Refusal
from domain.jobs import Job
from domain.jobs.events import Claimed
from domain.jobs.groups import GroupCounts, counts_of, verdict
from domain.jobs.state import WAITING
from domain.json_schema import Budget
from domain.limiting import CountedRate
from domain.messages import Event, Recorded
from domain.rate_limits.job_calls import calls_from, holds_up
from domain.rate_limits.state import RateLimit
from tests.support.clock import NOW

KEY = "one"
TOKEN = "token"
# The one refusal that no verb declares, since all of them have it.
ANY_VERB = "refusal invalid"

_TABLE_OF = {event: decider.table for decider in DECIDERS for event in decider.events.values()}


class Story:
    """The events so far, and the decision or refusal of the last command."""

    def __init__(self) -> None:
        self.now = NOW
        self.answer_bytes_left = 900 * 1024
        self.work = Budget()
        self.chance_is = 0.0
        self.leases: dict[str, Lease] = {}
        self.streams: dict[tuple[str, str], list[Recorded]] = {}
        self.states: dict[tuple[str, str], list[Any]] = {}
        self.verb = ""
        self.decision = Decision()
        self.refusal: Refusal | None = None
        self.verbs = VERBS
        self.deciders = BY_TABLE
        self.table_of = _TABLE_OF
        self._position = 0
        self._ids = 0

    # Given.

    def given(self, *events: Event, key: str = KEY) -> Self:
        """These events happened to an aggregate, at the story's present time."""
        for event in events:
            self._record(key, event)
        return self

    def at(self, now: int) -> Self:
        """Sets the clock."""
        self.now = now
        return self

    def later(self, milliseconds: int) -> Self:
        return self.at(self.now + milliseconds)

    def chance(self, number: float) -> Self:
        """Sets the random number, in [0, 1)."""
        self.chance_is = number
        return self

    def leased(self, job_id: str = KEY, token: str = TOKEN, *, lease_ms: int = 30_000) -> Self:
        """Gives out a lease on a job, from now on."""
        self.leases[job_id] = Lease(
            job_id=job_id, token=token, worker="worker", lease_ms=lease_ms, expires_at=self.now + lease_ms
        )
        return self

    def copy(self) -> Self:
        """A story that goes on from here without changing this one."""
        other = copy.copy(self)
        other.leases = dict(self.leases)
        other.streams = {stream: list(recorded) for stream, recorded in self.streams.items()}
        other.states = {stream: list(states) for stream, states in self.states.items()}
        return other

    # When.

    def when(self, command: str, **body: Any) -> Self:
        """A command comes alone, and takes effect if it is accepted."""
        self.work = Budget()
        return self.when_in_a_batch(command, **body)

    def when_in_a_batch(self, command: str, **body: Any) -> Self:
        """A command comes in the same batch as the one before it, and takes effect if it is accepted."""
        decider, verb = self.verbs[command]
        self.verb, self.decision, self.refusal = command, Decision(), None
        asked = msgspec.json.decode(msgspec.json.encode(body), type=verb.command)
        try:
            key = None if verb.key is None else verb.key(asked) or self.new_id()
            state = None if key is None else self.state(decider.table, key)
            self.decision = verb.decide(state, asked, self, key)
        except Refusal as refusal:
            self.refusal = refusal
            assert self.what_it_led_to() <= declared(verb)
            return self
        assert self.what_it_led_to() <= declared(verb)
        for event_key, event in self.decision.events:
            self._record(event_key, event)
        for job_id, lease in self.decision.leases.items():
            if lease is None:
                self.leases.pop(job_id, None)
            else:
                self.leases[job_id] = lease
        return self

    # Then.

    def then(self, *events: Event) -> Self:
        """Asserts that the command was accepted, and led to exactly these events."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert [event for _, event in self.decision.events] == list(events)
        return self

    def then_nothing(self) -> Self:
        """Asserts that the command was accepted, and changed nothing."""
        return self.then()

    def then_refused(self, code: str, **details: Any) -> Self:
        """Asserts that the command was refused, with at least these details."""
        assert self.refusal is not None, f"accepted: {self.decision.events!r}"
        assert self.refusal.code == code, self.refusal
        assert {name: self.refusal.details.get(name) for name in details} == details
        return self

    def what_it_led_to(self) -> set[str]:
        """The outcome of the last command, as verbs declare it: events, codes, rules, parts of a result."""
        if self.refusal is not None:
            rule = self.refusal.details.get("rule")
            return {f"rule {rule}"} if rule is not None else {f"refusal {self.refusal.code}"} - {ANY_VERB}
        seen = {f"event {type(event).__qualname__}" for _, event in self.decision.events}
        if callable(self.decision.result) or self.decision.result is None:
            return seen
        return seen | {f"result {name}" for name in msgspec.to_builtins(self.decision.result)}

    @property
    def result(self) -> Any:
        """The result of the last command, decoded from JSON."""
        return msgspec.json.decode(msgspec.json.encode(self.decision.result))

    # The context that a decision may look at.

    def new_id(self) -> str:
        self._ids += 1
        return f"id-{self._ids}"

    new_key = new_id

    def random(self) -> float:
        return self.chance_is

    def state(self, table: str, key: str = KEY) -> Any:
        states = self.states.get((table, key))
        return states[-1] if states else None

    def state_at(self, table: str, key: str, version: int) -> Any:
        states = self.states.get((table, key), [])
        return states[version - 1] if 1 <= version <= len(states) else None

    def note_claim(self, claim: Any) -> None:
        """Does nothing: no test asks for workers."""

    def due_jobs(self, queue: str, types: Iterable[str] | None, limit: int) -> Due:
        wanted = None if types is None else set(types)
        due = [
            job
            for job in self._jobs()
            if job.state in WAITING
            if job.queue == queue and job.run_at <= self.now and (wanted is None or job.type in wanted)
        ]
        allowed: list[Job] = []
        waiting: dict[tuple[str, str], int | None] = {}
        limits = _Limits(self._jobs(), self._begins(), self.now)
        taken: dict[str, Counter[int]] = {}
        for job in sorted(due, key=lambda job: (-job.priority, job.run_at, job.created_position)):
            if len(allowed) < limit and limits.hold_up(job):
                continue
            if job.budget is not None and len(allowed) < limit:
                # Jobs of one type wait behind the first that waits for calls; else it might wait for ever.
                if (job.type, job.budget.key) in waiting:
                    continue
                key, state = job.budget.key, self.state("rate_limits", job.budget.key)
                when = calls_from(state, job.budget.cost, taken.get(key, {}), self.now)
                held_up = [one.throttled_until or 0 for one in self._limits() if holds_up(one, key)]
                if max(held_up, default=0) > self.now:
                    when = max(held_up)
                if when is None or when > self.now:
                    waiting[job.type, job.budget.key] = when
                    continue
                taken.setdefault(key, Counter())[job.budget.cost] += 1
            allowed.append(job)
            limits.let_through(job)
        moments = [when for when in (*waiting.values(), *limits.moments) if when is not None]
        if len(allowed) >= limit:
            return Due(allowed[:limit])
        return Due(allowed, min(moments, default=None), limits.wait_for_ends)

    def running_in(self, queue: str) -> int:
        return sum(job.state == "running" and job.queue == queue for job in self._jobs())

    def rate_room(self, counted: CountedRate, limit: int) -> tuple[int, int]:
        times = [at for one, at in self._begins() if one == counted and at > self.now - counted.window_ms]
        room = max(0, limit - len(times))
        times += [self.now] * room
        return room, times[len(times) - limit] + counted.window_ms

    def _begins(self) -> list[tuple[CountedRate, int]]:
        """The rates that attempts count for, and when the attempts began, in order of time."""
        return sorted(
            (
                (one, recorded.recorded_at)
                for recorded_events in self.streams.values()
                for recorded in recorded_events
                if isinstance(recorded.event, Claimed)
                for one in recorded.event.counted
            ),
            key=lambda begin: begin[1],
        )

    def unique_jobs(self, key: str, states: Set[str], created_since: int, limit: int) -> list[Any]:
        found = [
            job
            for job in self._jobs()
            if job.unique_key == key and job.state in states and job.created_at >= created_since
        ]
        return sorted(found, key=lambda job: -job.created_position)[:limit]

    def dependents(self, job_id: str, limit: int, *, failed: bool) -> list[Any]:
        waiting = [
            job
            for job in self._jobs()
            if job_id in job.waiting_for and job.state in ("blocked", "held")
            if not (failed and job.on_dependency_failure == "wait")
        ]
        return sorted(waiting, key=lambda job: job.created_position)[:limit]

    def group_counts(self, group_id: str) -> GroupCounts:
        return counts_of(Counter(job.state for job in self._jobs() if job.group_id == group_id))

    def is_awaited(self, group_id: str) -> bool:
        return any(job.state in ("blocked", "held") for job in self._followers(group_id))

    def followers(self, group_id: str, counts: GroupCounts, limit: int) -> list[Any]:
        waiting = [
            job
            for job in self._followers(group_id)
            if job.state == "blocked" and verdict(job.after_group.when, job.on_dependency_failure, counts)
        ]
        return sorted(waiting, key=lambda job: job.created_position)[:limit]

    def _followers(self, group_id: str) -> list[Any]:
        return [
            job
            for job in self._jobs()
            if job.after_group is not None and job.after_group.id == group_id and job.waits_for_group
        ]

    def matching_jobs(self, search: Any, limit: int) -> tuple[list[Any], int]:
        found = sorted(filter(search.matches, self._jobs()), key=lambda job: job.created_position)
        return found[:limit], len(found[limit:])

    cron_time = staticmethod(cron_time)

    def _jobs(self) -> list[Job]:
        return [
            states[-1]
            for (table, _), states in self.states.items()
            if table == "jobs" and states[-1] is not None
        ]

    def _limits(self) -> list[RateLimit]:
        limits = (states[-1] for (table, _), states in self.states.items() if table == "rate_limits")
        return [one for one in limits if one is not None]

    def lease(self, job_id: str) -> Lease | None:
        return self.leases.get(job_id)

    def _record(self, key: str, event: Event) -> None:
        table = self.table_of[type(event)]
        stream = self.streams.setdefault((table, key), [])
        states = self.states.setdefault((table, key), [])
        self._position += 1
        recorded = Recorded(self._position, key, len(stream) + 1, self.now, event)
        before = states[-1] if states else None
        stream.append(recorded)
        states.append(self.deciders[table].evolve(before, recorded))


class _Limits:
    """The limits of jobs in one search: which jobs are held up, and until when.

    Keys don't take turns here: the best job comes first.
    """

    def __init__(self, jobs: list[Job], begins: list[tuple[CountedRate, int]], now: int) -> None:
        self._running = Counter(
            job.concurrency.key for job in jobs if job.state == "running" and job.concurrency
        )
        self._begins = begins
        self._now = now
        self.moments: list[int] = []
        self.wait_for_ends = False

    def hold_up(self, job: Job) -> bool:
        """True if the job has to wait."""
        concurrency, rate = job.concurrency, job.rate
        if concurrency is not None and self._running[concurrency.key] >= (concurrency.limit or 2**31):
            self.wait_for_ends = True
            return True
        if rate is None:
            return False
        counted = CountedRate(key=rate.key, window_ms=rate.window_ms)
        times = [at for one, at in self._begins if one == counted and at > self._now - rate.window_ms]
        if len(times) < rate.limit:
            return False
        self.moments.append(times[len(times) - rate.limit] + rate.window_ms)
        return True

    def let_through(self, job: Job) -> None:
        """Counts a job that is handed out."""
        if job.concurrency is not None:
            self._running[job.concurrency.key] += 1
        if job.rate is not None:
            counted = CountedRate(key=job.rate.key, window_ms=job.rate.window_ms)
            self._begins = [*self._begins, (counted, self._now)]


def declared(verb: Verb) -> set[str]:
    """All outcomes that a verb declares, in the form of `Story.what_it_led_to`."""
    return {
        *(f"event {event.__qualname__}" for event in verb.events),
        *(f"refusal {refusal.code}" for refusal in verb.refusals),
        *(f"rule {rule}" for rule in verb.rules),
        *(f"result {name}" for name in result_members(verb)),
    }


def result_members(verb: Verb) -> tuple[str, ...]:
    """The names of what stands in the result of a verb."""
    kinds = [one for one in get_args(verb.result) if one is not NoneType] or [verb.result]
    return () if verb.result is None else tuple(one.encode_name for one in msgspec.structs.fields(kinds[0]))


def given(*events: Event, key: str = KEY) -> Story:
    """A story that begins with these events of one aggregate."""
    return Story().given(*events, key=key)


def raw(text: str) -> msgspec.Raw:
    """JSON as if it was sent."""
    return msgspec.Raw(text.encode())

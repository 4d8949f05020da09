"""`ClaimPermits`: which jobs may be handed out in one claim, by what runs and began, and by rate limits."""

from collections import Counter
from collections.abc import Callable

from bus.writing.jobs.counts import Begins, RunningJobs
from bus.writing.jobs.lane import Counted, Gate, WaitingJob
from domain.limiting import CountedRate
from domain.rate_limits.job_calls import calls_from
from domain.rate_limits.state import RateLimit


class ClaimPermits:
    """Decides by the states of the limits, and by the jobs taken before in the same claim.

    `throttled_until` says until when other limits of the platform hold a limit up.
    """

    def __init__(
        self,
        state: Callable[[str], RateLimit | None],
        throttled_until: Callable[[str], int],
        running: RunningJobs,
        begins: Begins,
        now: int,
    ) -> None:
        self._state = state
        self._throttled_until = throttled_until
        self._running = running
        self._begins = begins
        self._now = now
        # How many jobs this claim has taken, by what they count for, without calls.
        self._taken: Counter[Counted] = Counter()
        # How many jobs it has taken, by rate limit and by how many calls each of them makes.
        self._calls: dict[str, Counter[int]] = {}

    def refusal(self, job: WaitingJob) -> tuple[Gate, int | None] | None:
        """The gate that holds the job up, if one does, and until when.

        `None` as the time: until another job of the key ends, or more is known of the calls.
        """
        for gate in job.gates:
            allowed_from = self._allowed_from(gate, job)
            if allowed_from is None or allowed_from > self._now:
                return gate, allowed_from
        return None

    def took(self, job: WaitingJob, *, is_own: bool) -> None:
        """Counts the job as handed out in this claim, unless the sender may not have it."""
        if not is_own:
            return
        for kind, key, window_ms in job.counts_for():
            if kind == "calls":
                self._calls.setdefault(key, Counter())[job.cost] += 1
            else:
                self._taken[kind, key, window_ms] += 1

    def counted(self, counted: Counted) -> int:
        """The count without the jobs of this claim: gates with no higher limit stay shut after it.

        0 for begins and calls: the jobs of this claim may have put off the times until which gates are shut.
        """
        kind, key, _ = counted
        return self._running.of(key) if kind == "running" else 0

    def _allowed_from(self, gate: Gate, job: WaitingJob) -> int | None:
        if gate.kind == "running":
            running = self._running.of(gate.key) + self._taken[gate.counted]
            return self._now if running < gate.limit else None
        if gate.kind == "begins":
            rate = CountedRate(key=gate.key, window_ms=gate.window_ms)
            return self._begins.allowed_from(rate, gate.limit, self._taken[gate.counted], self._now)
        if (until := self._throttled_until(gate.key)) > self._now:
            return until
        return calls_from(self._state(gate.key), job.cost, self._calls.get(gate.key, {}), self._now)

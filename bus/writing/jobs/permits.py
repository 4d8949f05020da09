"""What may be handed out in one claim, by what is known of the rate limits: `ClaimPermits`."""

from collections.abc import Callable

from bus.writing.jobs.lane import WaitingJob
from domain.rate_limits.job_calls import calls_from, cost_at_most
from domain.rate_limits.state import RateLimit


class ClaimPermits:
    """Answers by the states of the limits, and by what was taken before in the same claim.

    `throttled_until` is how long others of the platform hold one up.
    """

    def __init__(
        self, state: Callable[[str], RateLimit | None], throttled_until: Callable[[str], int], now: int
    ) -> None:
        self._state = state
        self._throttled_until = throttled_until
        self._now = now
        # How many jobs, and how many calls of theirs, by limit.
        self._taken: dict[str, tuple[int, int]] = {}

    def allowed_from(self, job: WaitingJob) -> int | None:
        """From when on a job may run: now, later, or `None`, when something was heard."""
        if job.limit is None:
            return self._now
        if (until := self._throttled_until(job.limit)) > self._now:
            return until
        taken = self._taken.get(job.limit, (0, 0))
        return calls_from(self._state(job.limit), job.cost, taken, self._now)

    def took(self, job: WaitingJob, *, is_own: bool) -> None:
        """The job is handed out with the next ones, unless it is not the asker's own."""
        if is_own and job.limit is not None:
            jobs, calls = self._taken.get(job.limit, (0, 0))
            cost = cost_at_most(self._state(job.limit), job.cost)
            self._taken[job.limit] = (jobs + 1, calls + cost)

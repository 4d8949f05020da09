"""What may be handed out in one claim, by what is known of the rate limits: `ClaimPermits`."""

from collections import Counter
from collections.abc import Callable

from bus.writing.jobs.lane import WaitingJob
from domain.rate_limits.job_calls import calls_from
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
        # How many jobs, by limit and how many calls each of them makes.
        self._taken: dict[str, Counter[int]] = {}

    def allowed_from(self, job: WaitingJob) -> int | None:
        """From when on a job may run: now, later, or `None`, when something was heard."""
        if job.limit is None:
            return self._now
        if (until := self._throttled_until(job.limit)) > self._now:
            return until
        return calls_from(self._state(job.limit), job.cost, self._taken.get(job.limit, {}), self._now)

    def took(self, job: WaitingJob, *, is_own: bool) -> None:
        """The job is handed out with the next ones, unless it is not the asker's own."""
        if is_own and job.limit is not None:
            self._taken.setdefault(job.limit, Counter())[job.cost] += 1

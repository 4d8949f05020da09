"""`Failures`: counts of attempts that failed, and of jobs that failed for good, since the start."""

from collections.abc import Iterable
from typing import Any

from bus.measures import Few
from domain.decider import Transition
from domain.jobs import events

# How many pairs of a queue and a type are counted apart: clients choose their names.
MAXIMUM_PAIRS = 200
# By event: how an attempt failed, and whether its job failed with it.
_ENDS: dict[type[Any], tuple[str, bool]] = {
    events.AttemptFailed: ("failed", False),
    events.Failed: ("failed", True),
    events.AttemptTimedOut: ("timeout", False),
    events.TimedOut: ("timeout", True),
    events.Rescued: ("rescued", False),
}


class Failures:
    """Counts by queue, type of job and how it failed. Written by the writer's thread, read by any."""

    def __init__(self) -> None:
        self.attempts: dict[tuple[str, ...], int] = {}
        self.jobs: dict[tuple[str, ...], int] = {}
        """Those that have no attempt left, without how."""
        self._few = Few(MAXIMUM_PAIRS)

    def count(self, transitions: Iterable[Transition]) -> None:
        """Counts the failures in a group, once it is stored."""
        for one in transitions:
            end = _ENDS.get(type(one.recorded.event))
            if end is None:
                continue
            outcome, is_final = end
            job = one.before.state
            pair = self._few.named(job.queue, job.type)
            attempt = (*pair, outcome)
            self.attempts[attempt] = self.attempts.get(attempt, 0) + 1
            if is_final:
                self.jobs[pair] = self.jobs.get(pair, 0) + 1

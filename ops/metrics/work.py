"""What there is to do and what failed, as families of metrics: `WorkMetrics`."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bus.measures import Few
from bus.writing.jobs.depth import STATES, Depth
from bus.writing.jobs.failures import Failures

# How many queues have samples of their own: clients choose their names.
MAXIMUM_QUEUES = 100


class WorkMetrics:
    """The metrics of jobs. A queue that had samples once has them from then on, be they zero."""

    def __init__(self) -> None:
        self._few = Few(MAXIMUM_QUEUES)
        self._told: set[str] = set()

    def job_families(self, queues: Mapping[str, Depth], now: int) -> Iterator[Metric]:
        """Unfinished jobs by queue and state, and the age of the oldest one that is due and not begun."""
        told: dict[str, Depth] = {}
        # At the first time, those with the most jobs have a name.
        for queue, depth in sorted(queues.items(), key=lambda pair: -pair[1].jobs):
            (name,) = self._few.named(queue)
            told.setdefault(name, Depth()).add(depth)
        self._told |= told.keys()
        jobs = GaugeMetricFamily(
            "hyperpage_jobs",
            "Unfinished jobs by queue and state: due, scheduled (or to be tried again), running, held or"
            " blocked.",
            labels=("queue", "state"),
        )
        oldest = GaugeMetricFamily(
            "hyperpage_jobs_oldest_overdue_seconds",
            "For how long the oldest job of a queue is due and not begun; 0 where none is.",
            labels=("queue",),
        )
        for name in sorted(self._told):
            depth = told.get(name, Depth())
            for state in STATES:
                jobs.add_metric((name, state), getattr(depth, state))
            oldest.add_metric((name,), depth.overdue_seconds(now))
        yield from (jobs, oldest)


def failure_families(failures: Failures) -> Iterator[Metric]:
    """What failed since the start of the writer."""
    attempts = CounterMetricFamily(
        "hyperpage_job_attempts_failed",
        "Attempts that failed, by how: failed, timeout, or rescued (their worker was lost).",
        labels=("queue", "type", "outcome"),
    )
    for names, count in sorted(failures.attempts.copy().items()):
        attempts.add_metric(names, count)
    jobs = CounterMetricFamily(
        "hyperpage_jobs_failed",
        "Jobs that failed or took too long with their last attempt.",
        labels=("queue", "type"),
    )
    for names, count in sorted(failures.jobs.copy().items()):
        jobs.add_metric(names, count)
    yield from (attempts, jobs)

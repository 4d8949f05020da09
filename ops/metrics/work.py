"""Jobs, their failures, and the calls that platforms let through, as families of metrics."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bus.writing.jobs.depth import STATES
from bus.writing.jobs.failures import Failures
from ops.health.work import WorkLook


def job_families(look: WorkLook, now: int) -> Iterator[Metric]:
    """Unfinished jobs by queue and state, and the age of the oldest one that is due and not begun."""
    jobs = GaugeMetricFamily(
        "hyperpage_jobs",
        "Unfinished jobs by queue and state: due, scheduled (or to be tried again), running, held, blocked.",
        labels=("queue", "state"),
    )
    oldest = GaugeMetricFamily(
        "hyperpage_jobs_oldest_overdue_seconds",
        "For how long the oldest job of a queue is due and not begun; 0 where none is.",
        labels=("queue",),
    )
    for name, depth in sorted(look.queues.items()):
        for state in STATES:
            jobs.add_metric((name, state), getattr(depth, state))
        oldest.add_metric((name,), depth.overdue_seconds(now))
    yield from (jobs, oldest)


def failure_families(failures: Failures) -> Iterator[Metric]:
    """Failed attempts and failed jobs since the writer started."""
    attempts = CounterMetricFamily(
        "hyperpage_job_attempts_failed",
        "Attempts that failed, by how: failed (or their worker was lost for the last time), timeout, or "
        "rescued (their worker was lost, and the job is tried again).",
        labels=("queue", "type", "outcome"),
    )
    for names, count in sorted(failures.attempts.copy().items()):
        attempts.add_metric(names, count)
    jobs = CounterMetricFamily(
        "hyperpage_jobs_failed",
        "Jobs that failed, or took too long, with their last attempt.",
        labels=("queue", "type"),
    )
    for names, count in sorted(failures.jobs.copy().items()):
        jobs.add_metric(names, count)
    yield from (attempts, jobs)


def limit_families(look: WorkLook, now: int) -> Iterator[Metric]:
    """The calls that platforms let through; of several limits of a resource, the tightest one counts."""
    remaining, limit, reset = (
        GaugeMetricFamily(f"hyperpage_rate_limit_{name}", said, labels=("platform", "resource"))
        for name, said in (
            ("remaining", "Calls that are let through until the reset; 0 while a platform refuses them."),
            ("limit", "Calls that are let through in a window; no sample where nobody told it."),
            ("reset_seconds", "How long it is until more are let through; no sample where nobody told it."),
        )
    )
    for names, one in sorted(look.limits.items()):
        remaining.add_metric(names, one.calls)
        if one.limit is not None:
            limit.add_metric(names, one.limit)
        if one.resets_at is not None:
            reset.add_metric(names, max(0, one.resets_at - now) / 1_000)
    yield from (remaining, limit, reset)

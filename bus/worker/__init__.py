"""The worker of `hyperpage_client`, for programs in whose environment the service is installed, too."""

from hyperpage_client.worker import (
    Handler,
    JobContext,
    JobFailed,
    JobSnoozed,
    JobStopped,
    StopReason,
    Worker,
    run_workers,
)

__all__ = [
    "Handler",
    "JobContext",
    "JobFailed",
    "JobSnoozed",
    "JobStopped",
    "StopReason",
    "Worker",
    "run_workers",
]

"""What happens to jobs."""

import msgspec

from domain.jobs.limits import DEFAULT_MAXIMUM_ATTEMPTS
from domain.messages import Event, Json

EMPTY_OBJECT = msgspec.Raw(b"{}")
NO_RESULT = msgspec.Raw(b"null")


class Enqueued(Event, frozen=True, kw_only=True):
    type: str
    name: str
    priority: int = 2
    queue: str = "default"
    payload: Json = EMPTY_OBJECT
    tool: str | None = None
    endpoint: str | None = None
    run_at: int
    max_attempts: int = DEFAULT_MAXIMUM_ATTEMPTS


class Claimed(Event, frozen=True, kw_only=True):
    worker: str
    attempt: int


class Progressed(Event, frozen=True, kw_only=True):
    percent: float | None = None
    note: str | None = None


class Completed(Event, frozen=True, kw_only=True):
    result: Json = NO_RESULT


class AttemptFailed(Event, frozen=True, kw_only=True):
    """The attempt failed, and the job is due again at `next_run_at`."""

    error: str
    next_run_at: int


class Failed(Event, frozen=True, kw_only=True):
    error: str


class Snoozed(Event, frozen=True, kw_only=True):
    run_at: int


class Interrupted(Event, frozen=True, kw_only=True):
    pass


class CancelRequested(Event, frozen=True, kw_only=True):
    reason: str | None = None


class Cancelled(Event, frozen=True, kw_only=True):
    reason: str | None = None


class Retried(Event, frozen=True, kw_only=True):
    max_attempts: int


class Rescued(Event, frozen=True, kw_only=True):
    next_run_at: int

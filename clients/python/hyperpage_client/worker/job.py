"""The job as its handler sees it, and the exceptions by which a handler ends.

return            the job is completed, with what was returned as its result
raise             the attempt failed; it is retried while attempts are left
raise JobFailed   the same, and the handler says whether and when to retry
raise JobSnoozed  the job is given back until later; the attempt does not count
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from hyperpage_client.commands.jobs import Progress

# Why a handler is to stop. In order: a user asked to cancel the job; another worker may have it by now, so
# the result of this attempt is dropped; the worker ends, and gives the job back.
StopReason = Literal["cancel_requested", "lease_lost", "shutting_down"]

# The largest number of calls that the service takes.
MAXIMUM_CALLS = 2**53 - 1


class JobFailed(Exception):
    """Raised by a handler: the attempt failed, for the reason in `error`.

    Without `retryable`, the job is not tried again. `retry_at`, in milliseconds since the epoch, is when the
    next attempt is due; otherwise the service decides.
    """

    def __init__(self, error: str, *, retryable: bool = True, retry_at: int | None = None) -> None:
        super().__init__(error)
        self.retryable = retryable
        self.retry_at = retry_at


class JobSnoozed(Exception):
    """Raised by a handler: the job is given back until `until`, in milliseconds since the epoch."""

    def __init__(self, until: int) -> None:
        super().__init__(f"until {until}")
        self.until = until


class JobStopped(Exception):
    """Raised by `JobContext.raise_if_stopped`: the handler was told to stop, and does."""


class JobContext:
    """One attempt at one job, for its handler; used in its thread or in the loop.

    `row` is the job's row in the answer to the claim, `payload` decoded. `lease` is this attempt's own, so it
    can fence what the handler writes elsewhere. `calls` is for the handler to set: how many calls of the
    job's budget it has made. If the handler does not set it, all calls of the budget count.
    """

    def __init__(
        self, row: Mapping[str, Any], deadline: float | None, tell: Callable[[Progress], None]
    ) -> None:
        self.row = row
        self.id: str = row["id"]
        self.type: str = row["type"]
        self.name: str = row["name"]
        self.payload: Any = row["payload"]
        self.attempt: int = row["attempt"]
        self.max_attempts: int = row["max_attempts"]
        self.lease: str = row["lease"]
        self._calls: int | None = None
        self._deadline = deadline
        self._tell = tell
        self._stopped = threading.Event()
        self._stop_reason: StopReason | None = None

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the handler is to stop, or None: go on.

        A coroutine is cancelled as well. A function in a thread cannot be: it looks here now and then, or
        waits with `stopped_within`. One that finishes nevertheless is completed, unless the lease is lost.
        """
        return self._stop_reason

    @property
    def calls(self) -> int | None:
        """How many calls of the job's budget the handler says it has made.

        Raises:
            ValueError: it is set to a value that is no number of calls.
        """
        return self._calls

    @calls.setter
    def calls(self, made: int | None) -> None:
        # Here, the handler gets the error. The service would refuse the report of finished work.
        if made is not None and (type(made) is not int or not 0 <= made <= MAXIMUM_CALLS):
            raise ValueError(f"not a number of calls: {made!r}")
        self._calls = made

    @property
    def seconds_left(self) -> float | None:
        """How long the attempt may still take before the service ends it; negative, if it is over."""
        return None if self._deadline is None else self._deadline - time.monotonic()

    def progress(self, percent: float | None = None, note: str | None = None) -> None:
        """Reports how far the job is, soon; of several reports in a row, the last is sent.

        Raises:
            ValueError: `percent` is not within 0 and 100, or the note is over 1,000 characters.
        """
        said = {"id": self.id, "lease": self.lease, "percent": percent, "note": note}
        self._tell(msgspec.convert(said, Progress))

    def stopped_within(self, seconds: float) -> bool:
        """Whether the handler is to stop; waits for that up to `seconds`. For handlers in threads alone."""
        return self._stopped.wait(seconds)

    def raise_if_stopped(self) -> None:
        """Ends a handler that was told to stop.

        Raises:
            JobStopped: the handler was told to stop.
        """
        if self._stop_reason is not None:
            raise JobStopped(self._stop_reason)

    def stop(self, reason: StopReason) -> None:
        """For the worker: tells the handler to stop. A lost lease replaces an earlier reason."""
        if self._stop_reason is None or reason == "lease_lost":
            self._stop_reason = reason
        self._stopped.set()

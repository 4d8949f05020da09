"""The errors that end a service: `ServiceError`."""

from typing import Protocol


class ServiceError(RuntimeError):
    """The service cannot start, or go on; the message says why, the hint what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Repairable(Protocol):
    """An error that says what is wrong, and what to do about it."""

    problem: str
    repair: str


def told(error: Repairable) -> ServiceError:
    """A `ServiceError` with the problem and the repair of another error."""
    return ServiceError(error.problem, hint=error.repair)

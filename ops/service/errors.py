"""Why a service ends: `ServiceError`."""


class ServiceError(RuntimeError):
    """The service cannot start, or go on; the message says why, the hint what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

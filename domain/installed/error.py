"""The error of an aggregate that cannot be served."""


class AggregateError(RuntimeError):
    """An aggregate of another package cannot be served: `message` says which and why, `hint` what to do.

    Nothing is served, and no store is touched.
    """

    def __init__(self, source: str, reason: str, hint: str) -> None:
        super().__init__(f"the aggregate {source} cannot be taken in: {reason}")
        self.reason = reason
        self.message = str(self)
        self.hint = hint

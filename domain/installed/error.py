"""Why an aggregate cannot be taken in."""


class AggregateError(RuntimeError):
    """An aggregate of somebody else cannot be served: `message` says which and why, `hint` what to do.

    Nothing is served, and no store is touched.
    """

    def __init__(self, source: str, reason: str, hint: str) -> None:
        super().__init__(f"the aggregate {source} cannot be taken in: {reason}")
        self.reason = reason
        self.message = str(self)
        self.hint = hint

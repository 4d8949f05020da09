"""The error of all work with a lake: `AnalyticsError`."""


class AnalyticsError(RuntimeError):
    """A lake cannot be read or written; `reason` is one word for programs, `hint` says what to do.

    Reasons: `not_installed`, `no_lake`, `unknown_format`, `manifest_damaged`, `lake_unsafe`,
    `lake_unreadable`, `foreign`, `in_use`, `interrupted`, `not_written`, `not_found`, `not_a_moment`,
    `empty_period`, `unknown_time_zone`, `not_a_query`, `query_failed`.
    """

    def __init__(self, reason: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint

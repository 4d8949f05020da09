"""The error of a package that cannot be written."""


class AuthoringError(ValueError):
    """A name that cannot be given, or a folder that is not empty: nothing was written.

    `message` says which and why, `hint` what to do.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

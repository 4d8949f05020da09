"""The end of a command of the command line: its exit code, and its messages if it fails."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """The exit codes of all commands."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    VERSION_CONFLICT = 4
    UNREACHABLE = 5
    VERIFICATION_FAILED = 6
    # The code with which shells report a program that Ctrl-C ended.
    INTERRUPTED = 130


class CommandFailure(Exception):
    """A command of the command line has failed.

    `error` is an error object as in the service's answers: code, message, hint, details. `--json` prints
    `answer`, by default that object alone.
    """

    def __init__(
        self, exit_code: Exit, error: Mapping[str, Any], *, answer: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(error["message"])
        self.exit_code = exit_code
        self.error = error
        self.answer = {"error": error} if answer is None else answer

    @property
    def message(self) -> str:
        """The message of the error, with the path of the wrong field."""
        path = self.error.get("details", {}).get("path", "$")
        return f"{self.error['message']}{'' if path == '$' else f' (at {path})'}"

    @property
    def hint(self) -> str:
        return str(self.error.get("hint") or "")

    @property
    def explanation(self) -> list[str]:
        """A line for each violation, if they say more than the message."""
        return explanation_of(self.error)


def explanation_of(error: Mapping[str, Any]) -> list[str]:
    """A line for each violation in what was sent, if they say more than the error's message."""
    violations = error.get("details", {}).get("violations", ())
    lines = [f"  {one['path']}: {one['message']}{_instead(one)}" for one in violations]
    return lines if len(lines) > 1 or any(map(_instead, violations)) else []


def _instead(violation: Mapping[str, Any]) -> str:
    near, allowed = violation.get("did_you_mean"), violation.get("allowed")
    meant = f"; did you mean {near}?" if near else ""
    there_is = f"; there is {', '.join(map(str, allowed))}" if allowed else ""
    return meant + there_is


def failure(exit_code: Exit, code: str, message: str, hint: str, **details: Any) -> CommandFailure:
    """A failure that the command line itself found, in the form of the service's errors."""
    return CommandFailure(exit_code, {"code": code, "message": message, "hint": hint, "details": details})


def usage_failure(
    message: str, hint: str = "nothing was done: `--help` says what may be given"
) -> CommandFailure:
    """The failure for a wrong command line."""
    return failure(Exit.USAGE, "usage", message, hint)


def unreachable(message: str, hint: str, **details: Any) -> CommandFailure:
    """The failure if no service is there, or it did not answer in time."""
    return failure(Exit.UNREACHABLE, "unreachable", message, hint, **details)


def refused(error: Mapping[str, Any]) -> CommandFailure:
    """The failure for a refusal of the service, with the exit code for its error code."""
    exit_code = {"not_found": Exit.NOT_FOUND, "version_conflict": Exit.VERSION_CONFLICT}
    return CommandFailure(exit_code.get(error["code"], Exit.FAILED), error)

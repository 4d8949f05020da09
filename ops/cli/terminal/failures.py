"""Errors of a store, a backup, a bucket or a lake, in words instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ops.cli.terminal.exits import CommandFailure, Exit, failure, unreachable, usage_failure

if TYPE_CHECKING:
    from ops.analytics.lake.errors import AnalyticsError
    from ops.targets.errors import BackupError


@contextmanager
def understandable(store: Path | None = None) -> Iterator[None]:
    """Turns known errors of the block into failures with a message.

    `store` is the file that the message names for an error of SQLite.

    Raises:
        CommandFailure: the block raised such an error.
    """
    try:
        yield
    except Exception as error:
        if (failed := _failure_of(error, store)) is None:
            raise
        raise failed from error


def _failure_of(error: Exception, store: Path | None) -> CommandFailure | None:
    # Imported after the error, so that a command that succeeds does not load modules that it does not need.
    import apsw

    from domain.errors import SecretRejected
    from migrations.connection import UnsafeSqliteError
    from migrations.runner import MigrationError
    from ops.analytics.lake.errors import AnalyticsError
    from ops.store.troubles import hint_of, message_of
    from ops.targets.bucket import BucketError
    from ops.targets.errors import BackupError

    match error:
        case BackupError():
            return failure(exit_code_of(error), error.reason, error.message, error.hint)
        case SecretRejected():
            return failure(Exit.FAILED, error.code, error.message, error.hint, **error.details)
        case AnalyticsError():
            return _analytics_failure(error)
        case BucketError():
            return unreachable(str(error), error.hint)
        case MigrationError():
            return failure(Exit.FAILED, "failed", error.message, error.hint)
        case UnsafeSqliteError():
            hint = "nothing was changed: `pip install -U apsw` into the environment of this program"
            return failure(Exit.FAILED, "failed", str(error), hint)
        case apsw.Error():
            what = "a file of SQLite's" if store is None else str(store)
            return failure(
                Exit.FAILED, "failed", f"{what} cannot be used: {message_of(error)}", hint_of(error)
            )
    return None


def exit_code_of(error: "BackupError") -> Exit:
    """The exit code: 3 if there is no such backup or moment, 1 if a key is missing, 6 if it is not sound."""
    known = {
        "not_found": Exit.NOT_FOUND,
        "unreachable_moment": Exit.NOT_FOUND,
        "encrypted": Exit.FAILED,
    }
    return known.get(error.reason, Exit.VERIFICATION_FAILED)


def _analytics_failure(error: "AnalyticsError") -> CommandFailure:
    if error.reason in ("not_a_moment", "empty_period", "unknown_time_zone"):
        return usage_failure(error.message, error.hint)
    is_missing = error.reason in ("no_lake", "not_found")
    exit_code = Exit.NOT_FOUND if is_missing else Exit.FAILED
    return failure(exit_code, error.reason, error.message, error.hint)

"""What goes wrong with backups, in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ops.cli.terminal.exits import CommandFailure, Exit, failure, unreachable

if TYPE_CHECKING:
    from ops.targets.errors import BackupError


@contextmanager
def understandable() -> Iterator[None]:
    """What is wrong with a backup or the store's file, in words instead of a traceback."""
    import apsw

    from migrations.connection import UnsafeSqliteError
    from migrations.runner import MigrationError
    from ops.targets.bucket import BucketError
    from ops.targets.errors import BackupError

    try:
        yield
    except BackupError as error:
        raise failure_of(error) from error
    except BucketError as error:
        raise unreachable(
            str(error), "see the address, HYPERPAGE_S3_ENDPOINT and the AWS_… variables"
        ) from error
    except MigrationError as error:
        raise failure(Exit.FAILED, "failed", error.message, error.hint) from error
    except UnsafeSqliteError as error:
        raise failure(Exit.FAILED, "failed", str(error)) from error
    except apsw.Error as error:
        raise failure(Exit.FAILED, "failed", f"SQLite says: {error}") from error


def failure_of(error: "BackupError") -> CommandFailure:
    """What is wrong with a backup, with the exit code that its reason stands for."""
    return failure(exit_code_of(error), error.reason, error.message, error.hint)


def exit_code_of(error: "BackupError") -> Exit:
    """3 for what is not there, 1 for what cannot be read without a key, 6 for what is not sound."""
    known = {
        "not_found": Exit.NOT_FOUND,
        "unreachable_moment": Exit.NOT_FOUND,
        "encrypted": Exit.FAILED,
    }
    return known.get(error.reason, Exit.VERIFICATION_FAILED)

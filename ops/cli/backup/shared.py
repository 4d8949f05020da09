"""What the commands around backups have in common: names, keys, and what goes wrong in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ops.cli.terminal.exits import CommandFailure, Exit, failure, unreachable, usage_failure
from ops.cli.terminal.options import option, settings_for
from ops.cli.terminal.output import say
from ops.settings import FILE
from ops.store.data_directory import read_runtime
from ops.targets.bucket import SCHEME

if TYPE_CHECKING:
    from ops.backup.metadata import Backup
    from ops.settings import Settings
    from ops.targets.errors import BackupError
    from ops.targets.sealing import Identities

NameArgument = Annotated[str, Parameter(help="The backup's name, or a path to its file.")]
IdentityOption = Annotated[
    Path | None,
    option("The file with the secret key (of `backup new-key` or age-keygen), where backups are encrypted."),
]


def backup_settings(data: Path | None) -> "Settings":
    """The settings; where the running service keeps backups or archive elsewhere, that is said.

    Raises:
        SettingsError: one of them is wrong.
    """
    from ops.targets.target import address

    settings = settings_for(data)
    runtime = read_runtime(settings.data)
    for name, theirs, ours in (
        ("backups", "" if runtime is None else runtime.backups, address(settings.backup_folder)),
        ("archive", "" if runtime is None else runtime.archive, address(settings.archive_folder)),
    ):
        if theirs and not _is_same(theirs, ours):
            say(
                f"warning: the service has its {name} in {theirs}, and this command looks in {ours};"
                f" put `{name}` into {settings.data / FILE}, where both find it"
            )
    return settings


def _is_same(one: str, other: str) -> bool:
    return one == other or (not one.startswith(SCHEME) and Path(one).resolve() == Path(other).resolve())


def identities_in(file: Path | None) -> "Identities":
    """The secret keys in a file; none where none is named.

    Raises:
        CommandFailure: there are none in it.
    """
    from ops.targets.sealing import read_identities

    try:
        return () if file is None else read_identities(file)
    except ValueError as error:
        raise usage_failure(str(error), "`hyperpage backup new-key` writes such a file") from error


def scratch_folder(settings: "Settings") -> Path | None:
    """Where copies are opened that may not lie readable beside the backups; `None` if there is no store."""
    return settings.data if settings.data.is_dir() else None


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


def entry_of(backup: "Backup") -> dict[str, Any]:
    """What programs are told of a backup."""
    from ops.targets.target import address

    return {
        "name": backup.name,
        "path": address(backup.place),
        "status": backup.metadata.status,
        "metadata": backup.metadata,
    }

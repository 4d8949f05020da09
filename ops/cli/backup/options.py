"""The options of several commands around backups, and the values behind them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ops.cli.terminal.exits import usage_failure
from ops.cli.terminal.options import option, settings_for
from ops.cli.terminal.output import say
from ops.settings_sources import FILE
from ops.store.data_directory import read_runtime
from ops.targets.bucket import is_bucket

if TYPE_CHECKING:
    from ops.settings import Settings
    from ops.targets.sealing import Identities


NameArgument = Annotated[str, Parameter(help="The backup's name, or a path to its file.")]
IdentityOption = Annotated[
    Path | None,
    option("The file with the secret key (of `backup new-key` or age-keygen), where backups are encrypted."),
]


def backup_settings(data: Path | None) -> "Settings":
    """The settings. Warns if the running service keeps its backups or its archive elsewhere.

    Raises:
        SettingsError: a setting is wrong.
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
    return one == other or (not is_bucket(one) and Path(one).resolve() == Path(other).resolve())


def identities_in(file: Path | None) -> "Identities":
    """The secret keys in a file; empty without a file.

    Raises:
        CommandFailure: the file has no secret keys.
    """
    from ops.targets.sealing import read_identities

    try:
        return () if file is None else read_identities(file)
    except ValueError as error:
        raise usage_failure(str(error), "`hyperpage backup new-key` writes such a file") from error


def scratch_folder(settings: "Settings") -> Path | None:
    """The folder for decrypted copies, away from the backups; `None` without a data directory."""
    return settings.data if settings.data.is_dir() else None

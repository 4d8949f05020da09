"""The command line's access to the store of a stopped service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ops.backup.restoring.swap import settle
from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import settings_for
from ops.cli.terminal.output import say
from ops.store.data_directory import DataDirectory, DirectoryInUseError

if TYPE_CHECKING:
    from ops.settings import Settings


@contextmanager
def free_directory(settings: "Settings") -> "Iterator[DirectoryInUseError | None]":
    """Holds the data directory for the block, so that no service starts; yields the error if one runs."""
    try:
        directory = DataDirectory(settings.data)
    except DirectoryInUseError as error:
        yield error
        return
    try:
        if (which := settle(settings.store_path)) is not None:
            say(which)
        yield None
    finally:
        directory.release()


@contextmanager
def stopped_directory(settings: "Settings") -> Iterator[None]:
    """Holds the data directory for the length of the block, so that no service starts.

    Raises:
        CommandFailure: a service runs on it.
    """
    with free_directory(settings) as error:
        if error is not None:
            raise failure(Exit.FAILED, "in_use", str(error), "stop it first (Ctrl-C, or SIGTERM)") from error
        yield


@contextmanager
def stopped_store(data: Path | None) -> Iterator[Path | None]:
    """The store's file, held for the length of the block, so that no service starts; `None` if one runs.

    Raises:
        CommandFailure: there is no store.
        SettingsError: a setting is wrong.
    """
    settings = settings_for(data)
    require_store(settings.store_path)
    with free_directory(settings) as in_use:
        if in_use is not None:
            yield None
            return
        with understandable(settings.store_path):
            yield settings.store_path


def require_store(path: Path) -> None:
    """Returns if there is a store.

    Raises:
        CommandFailure: there is none.
    """
    # No store is made here: files must not appear in a mistyped directory.
    if not path.exists():
        raise failure(
            Exit.NOT_FOUND,
            "not_found",
            f"there is no store in {path.parent}",
            "name the directory with --data; `hyperpage serve` or `hyperpage migrate up` makes a new store",
        )

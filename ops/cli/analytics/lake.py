"""The lake that a command is about: its options, its folder, and what goes wrong with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from ops.cli.backup.failures import failure_of
from ops.cli.terminal.exits import Exit, failure, unreachable, usage_failure
from ops.cli.terminal.options import option, settings_for

LakeOption = Annotated[Path | None, option("The lake's folder. Default: DIR/lake.", name="--lake")]
SnapshotOption = Annotated[
    str | None, option("Show the snapshot of this backup. Default: the newest one.", name="--snapshot")
]


def lake_folder(lake: Path | None, data: Path | None) -> Path:
    """The folder that was named, or the one in the data directory."""
    return settings_for(data).data / "lake" if lake is None else lake


@contextmanager
def understandable() -> Iterator[None]:
    """What is wrong with a lake, a query or a backup, in words instead of a traceback."""
    from ops.analytics.lake.errors import AnalyticsError
    from ops.targets.bucket import BucketError
    from ops.targets.errors import BackupError

    try:
        yield
    except AnalyticsError as error:
        if error.reason in ("not_a_moment", "empty_period"):
            raise usage_failure(error.message, error.hint) from error
        is_missing = error.reason in ("no_lake", "not_found", "unreachable_moment")
        exit_code = Exit.NOT_FOUND if is_missing else Exit.FAILED
        raise failure(exit_code, error.reason, error.message, error.hint) from error
    except BackupError as error:
        raise failure_of(error) from error
    except BucketError as error:
        raise unreachable(str(error)) from error

"""What becomes of a damaged store: it is found at the start, set aside, and brought back where allowed."""

import logging
from contextlib import closing
from pathlib import Path

import apsw

from migrations.connection import open_reader
from ops.backup.create import require_sound
from ops.backup.metadata import BackupError
from ops.backup.restore import Restored, restore
from ops.backup.stream_timeline import highest_timeline_in_stream
from ops.backup.way import Moment
from ops.settings import Settings

logger = logging.getLogger(__name__)


class DamagedStoreError(RuntimeError):
    """The store's file is damaged; `hint` is what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def require_sound_store(settings: Settings, *, after_a_crash: bool, version: str) -> Restored | None:
    """What was restored; `None` if SQLite finds the store's file sound, or if it was not to be checked.

    The caller holds the data directory. The file is checked as `check_at_start` says, which takes some
    seconds for a gigabyte. Where `restore_when_damaged` allows it, the file is set aside, and the store made
    anew from the newest backup and the archive.

    Raises:
        DamagedStoreError: it is damaged, and was left as it is.
    """
    is_due = settings.check_at_start == "always" or (
        settings.check_at_start == "after_a_crash" and after_a_crash
    )
    if not is_due or not settings.store_path.exists():
        return None
    damage = _damage_of(settings.store_path)
    if damage is None:
        return None
    command = f"hyperpage backup restore --latest --yes --data {settings.data}"
    if not settings.restore_when_damaged:
        raise DamagedStoreError(
            damage,
            f"nothing was changed; to set it aside and bring back what backups and archive have: {command}",
        )
    logger.error("%s; it is set aside, and brought back from backups and archive", damage)
    try:
        return restore(
            settings.places,
            Moment(latest=True),
            version=version,
            is_damaged=True,
            highest_timeline=highest_timeline_in_stream(settings),
        )
    except (BackupError, apsw.Error) as error:
        raise DamagedStoreError(
            f"{damage}, and it could not be brought back: {error}", f"nothing was changed; see `{command}`"
        ) from error


def _damage_of(store: Path) -> str | None:
    try:
        with closing(open_reader(store)) as connection:
            require_sound(connection, store.name)
    except (BackupError, apsw.Error) as error:
        return str(error)
    return None

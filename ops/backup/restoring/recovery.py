"""Finds a damaged store at the start of a service, and restores it where that is allowed."""

import logging
from contextlib import closing
from functools import partial

import apsw

from bus.log import chain
from bus.log.answers import LostAnswerError
from migrations.connection import open_reader
from migrations.sqlite_words import words_of
from ops.backup.restoring.plan import emptied, kept_of, lost_end
from ops.backup.restoring.present import has_nothing
from ops.backup.restoring.repair import repair_without_loss
from ops.backup.restoring.restore import Restored, restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.restoring.stopped_stream import highest_timeline_in_stream
from ops.backup.sound import sound_beside, verify_log
from ops.settings import Settings
from ops.store.troubles import hint_of, message_of
from ops.targets.errors import BackupError

logger = logging.getLogger(__name__)


class DamagedStoreError(RuntimeError):
    """The store's file is damaged or gone; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def require_sound_store(settings: Settings, *, after_a_crash: bool, version: str) -> Restored | None:
    """The restore that was done; `None` if the store's file is sound, or if a new store may be made.

    The caller holds the data directory. `check_at_start` says when the whole file is checked, which takes
    some seconds for a gigabyte, and for a million events; that it is a database is always checked. A store
    that is gone while there is a backup or archive of one counts as damaged: a new store in its place would
    hide that. If all events can be brought back, the damaged file is set aside, and the store made anew. If
    some cannot, or the file is gone, this happens only if `restore_when_damaged` allows it, and never in a
    cluster.

    Raises:
        DamagedStoreError: the store is damaged or gone, and was left as it is.
        OSError: there is no store, and the places of its backups cannot be read.
    """
    is_due = settings.check_at_start == "always" or (
        settings.check_at_start == "after_a_crash" and after_a_crash
    )
    damage = _damage_of(settings, whole=is_due)
    # In a cluster, the shared log brings the events that a member lacks, and the archive may be ahead of its
    # file.
    if damage is None and after_a_crash and not settings.is_replicated:
        damage = lost_end(settings.places)
    is_known_to_end = not after_a_crash and not settings.is_replicated
    if damage is None:
        return None
    # If the file is gone, the operator may want a new store.
    if _has_store(settings):
        repaired = repair_without_loss(settings, damage, version=version, is_known_to_end=is_known_to_end)
        if repaired is not None:
            return repaired
    hint = _hint(settings)
    # In a cluster, the other members have the missing events, which a restore from backups would give up.
    if settings.is_replicated or not settings.restore_when_damaged:
        raise DamagedStoreError(damage, hint)
    logger.error("%s; it is being brought back from backups and archive", damage)
    try:
        return restore(
            settings.places,
            Moment(latest=True),
            version=version,
            is_damaged=True,
            highest_timeline=highest_timeline_in_stream(settings),
        )
    except (BackupError, OSError, apsw.Error) as error:
        why = f"{message_of(error)} ({hint_of(error)})"
        raise DamagedStoreError(f"{damage}, and it could not be brought back: {why}", hint) from error


def _hint(settings: Settings) -> str:
    data = settings.data
    if settings.is_replicated and _has_store(settings):
        return (
            f"nothing was changed; move {settings.store_path.name} out of {data}, and whatever begins with"
            " its name: the next start makes it of backups, archive and the log of the others"
        )
    try:
        if kept_of(settings.places) is None:
            return (
                "nothing was changed; there is no backup and no archive of it in the places that are set:"
                " name those that there are (HYPERPAGE_BACKUPS, HYPERPAGE_ARCHIVE), or keep a copy of the"
                " file, and try what `.recover` of SQLite's shell still gets out of it"
            )
    except OSError as error:
        return f"nothing was changed; what there is to bring it back from, cannot be seen: {error}"
    key = " --identity KEY_FILE" if settings.encrypt_to else ""
    command = f"hyperpage backup restore --latest --yes --data {data}{key}"
    hint = f"nothing was changed; to bring back what backups and archive have: {command}"
    if not _has_store(settings):
        hint += f"; for a new store instead: hyperpage migrate up --data {data}"
    return hint


def _has_store(settings: Settings) -> bool:
    try:
        return settings.store_path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _damage_of(settings: Settings, *, whole: bool) -> str | None:
    store = settings.store_path
    if not _has_store(settings):
        kept = kept_of(settings.places)
        return None if kept is None else f"there is no store in {settings.data}, but {kept}"
    try:
        with closing(open_reader(store)) as connection:
            if has_nothing(connection) and (lost := emptied(settings.places)) is not None:
                return lost
            if whole:
                with sound_beside(partial(open_reader, store), store.name, thorough=True):
                    verify_log(connection)
    except BackupError as error:
        return error.message
    except (UnicodeDecodeError, LostAnswerError, chain.BrokenChainError) as error:
        return f"{store.name} is damaged: {error}"
    except (apsw.NotADBError, apsw.CorruptError) as error:
        # Other errors, such as missing rights, keep the file from being read, but are no damage.
        return f"{store.name} is damaged: {words_of(error)}"
    return None

"""The search for a way to a moment, which passes over backups that turn out to be damaged."""

from contextlib import closing

import apsw

from migrations.connection import open_reader
from migrations.runner import MigrationError
from ops.backup.content import StoreContent, read_content
from ops.backup.metadata import Backup, list_backups
from ops.backup.restoring.restore_path import Moment, RestorePath, find_restore_path
from ops.targets.errors import UNUSABLE, BackupError
from ops.targets.places import Places
from ops.targets.sealing import Identities
from ops.targets.signing import require_accepted


class Search:
    """The way to a moment, without damaged backups."""

    def __init__(self, places: Places, moment: Moment, identities: Identities = ()) -> None:
        self._places = places
        self._moment = moment
        self._identities = identities
        self.present = _present_content(places)
        """The content of the present store; `None` where there is none, or none that could be read."""
        self.passed_over: dict[str, str] = {}
        self._refused: BackupError | None = None
        if moment.backup is None:
            self._pass_over_refused()
        self._left_out: set[str] = set()

    def leave_out(self, backup: Backup) -> None:
        """Leaves out a backup that was made meanwhile: its content is to be replaced."""
        self._left_out.add(str(backup.place))

    def next_path(self) -> RestorePath:
        """The next way to try.

        Raises:
            BackupError: there is none.
            OSError: a bucket is away.
        """
        while True:
            try:
                return find_restore_path(
                    self._places,
                    self._moment,
                    self.present,
                    self._identities,
                    without=self._left_out.union(self.passed_over),
                )
            except BackupError as error:
                if error.backup:
                    self.pass_over(error.backup, error)
                elif not self.passed_over:
                    raise
                else:
                    damage = "; ".join(self.passed_over.values())
                    refused = self._refused if error.reason == "not_found" else None
                    reason, hint = (refused.reason, refused.hint) if refused else (error.reason, error.hint)
                    raise BackupError(reason, f"{error.message} ({damage})", hint) from error

    def _pass_over_refused(self) -> None:
        """Passes over backups whose signature lets nobody use them, whatever else is right with them."""
        store_id = None if self.present is None else self.present.store_id
        for one in list_backups(self._places.backups, store_id, self._places.signing):
            try:
                require_accepted(one.name, one.signature)
            except BackupError as error:
                self.passed_over[str(one.place)] = error.message
                self._refused = self._refused or error

    def pass_over(self, which: str, error: BackupError) -> None:
        """Goes on without a source that turned out to be damaged, named as in `RestorePath.begins_with`.

        Raises:
            BackupError: it was asked for, or something else is wrong than that it is damaged.
        """
        if error.reason not in UNUSABLE or which in self.passed_over or self._moment.backup is not None:
            raise error
        if self._moment == Moment():
            hint = (
                "name another one (`hyperpage backup list`), or say --latest, which passes over damaged ones"
            )
            raise BackupError(error.reason, error.message, hint) from error
        self.passed_over[which] = error.message


def _present_content(places: Places) -> StoreContent | None:
    if not places.store.exists():
        return None
    try:
        with closing(open_reader(places.store)) as connection:
            return read_content(connection)
    except (apsw.Error, MigrationError):
        return None

"""The search for a way to a moment, which passes over backups and segments that turn out to be damaged."""

from ops.backup.metadata import Backup, list_backups
from ops.backup.restoring.present import Present, read_present
from ops.backup.restoring.restore_path import Moment, RestorePath, find_restore_path
from ops.targets.errors import UNUSABLE, UNUSABLE_SEGMENT, BackupError
from ops.targets.places import Places
from ops.targets.sealing import Identities
from ops.targets.signing import require_accepted


class Search:
    """The search for a way to a moment, without damaged backups; for the latest, also without bad segments.

    For a `repair`, files that need a key are passed over, as well. `present` replaces what would be read from
    the store's file.
    """

    def __init__(
        self,
        places: Places,
        moment: Moment,
        identities: Identities = (),
        *,
        repair: bool = False,
        present: Present | None = None,
    ) -> None:
        self._places = places
        self._is_repair = repair
        self._moment = moment
        self._identities = identities
        self.present = present or read_present(places.store)
        """The present store; `None` where there is none, or none that could be read."""
        self.passed_over: dict[str, str] = {}
        self._refused: BackupError | None = None
        if moment.backup is None:
            self._pass_over_refused()
        self._left_out: set[str] = set()

    def leave_out(self, backup: Backup) -> None:
        """Leaves out a backup that was made meanwhile: it has the state that is to be replaced."""
        self._left_out.add(str(backup.place))

    @property
    def without(self) -> set[str]:
        """The sources that are left out or passed over: names as in `begins_with`, and places of segments."""
        return self._left_out.union(self.passed_over)

    def next_path(self) -> RestorePath:
        """The next way to try.

        Raises:
            BackupError: there is no way left.
            OSError: a bucket is away.
        """
        while True:
            try:
                return find_restore_path(
                    self._places,
                    self._moment,
                    self.present,
                    self._identities,
                    without=self.without,
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
        """Passes over backups whose signature is refused, even if they are sound otherwise."""
        store_id = None if self.present is None else self.present.store_id
        for one in list_backups(self._places.backups, store_id, self._places.signing):
            try:
                require_accepted(one.name, one.signature)
            except BackupError as error:
                self.passed_over[str(one.place)] = error.message
                self._refused = self._refused or error

    def pass_over(self, which: str, error: BackupError) -> None:
        """Goes on without a source that turned out to be damaged, named as in `RestorePath.begins_with`.

        On the way to the latest, also without a segment (or the archive), named by its place.

        Raises:
            BackupError: the caller named the source, or its error is not one of damage.
        """
        if which in self.passed_over or self._moment.backup is not None or not self._may_pass_over(error):
            raise error
        if self._moment == Moment():
            hint = (
                "name another one (`hyperpage backup list`), or say --latest, which passes over damaged ones"
            )
            raise BackupError(error.reason, error.message, hint) from error
        self.passed_over[which] = error.message

    def _may_pass_over(self, error: BackupError) -> bool:
        if self._is_repair and error.reason == "encrypted":
            return True
        return error.reason in (UNUSABLE_SEGMENT if self._moment.latest else UNUSABLE)

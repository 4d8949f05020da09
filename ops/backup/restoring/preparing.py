"""Makes readable what a restore needs, for a service that has no key: `prepare`."""

from collections import Counter
from pathlib import Path

import msgspec

from ops.archive.reading import read_segment, require_segment_key
from ops.archive.segment import segment_path
from ops.archive.writing import row_lines, write_segment
from ops.backup.metadata import Backup, write_metadata
from ops.backup.opening import bring, require_key
from ops.backup.restoring.restore import require_signed
from ops.backup.restoring.restore_path import Moment
from ops.backup.restoring.search import Search
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.targets.sealing import Identities
from ops.targets.signing import Signature, Signing, SigningKey


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Plain copies in a folder.

    `moment` is what to ask for there, `begins_with` the backup that it begins with. Damaged ones were passed
    over, each with the reason. `signatures` says of how many of the files whose they were.
    """

    moment: Moment
    begins_with: str
    passed_over: dict[str, str]
    signatures: dict[str, int]


def require_readable(places: Places, moment: Moment, identities: Identities) -> None:
    """Returns if there is a way to a moment, a key where one is needed on it, and all is signed that must be.

    Raises:
        BackupError: there is not.
        OSError: a bucket is away.
    """
    restore_path = Search(places, moment, identities).next_path()
    if restore_path.backup is not None:
        require_key(restore_path.backup, identities)
    if not identities:
        for one in restore_path.stretches:
            require_segment_key(one.segment)
    require_signed(restore_path, places.signing)


def prepared_places(places: Places, folder: Path) -> Places:
    """Where a restore finds what was prepared in a folder."""
    return msgspec.structs.replace(places, backups=folder / "backups", archive=folder / "archive")


def prepare(
    places: Places,
    moment: Moment,
    folder: Path,
    identities: Identities,
    *,
    progress: Progress = ignore_progress,
) -> Prepared:
    """Puts plain copies of the backup and the segments that a restore needs into a local folder.

    Raises:
        BackupError: there is no way to that moment, something is not sound, or no key opens it.
        OSError: a bucket is away, the disk is full.
    """
    there = prepared_places(places, folder)
    assert isinstance(there.backups, Path)
    there.backups.mkdir(mode=0o700)
    search = Search(places, moment, identities)
    plain: Backup | None = None
    while True:
        restore_path = search.next_path()
        if restore_path.backup is None:
            break
        require_key(restore_path.backup, identities)
        try:
            plain = bring(restore_path.backup, there.backups, identities, progress=progress)
            break
        except BackupError as error:
            search.pass_over(restore_path.begins_with, error)
            for leftover in there.backups.iterdir():
                leftover.unlink()
    # Looking up a time takes a key: the service gets its position instead.
    named = (
        moment
        if moment.time is None
        else msgspec.structs.replace(moment, time=None, position=restore_path.position)
    )
    signatures: Counter[str] = Counter()
    if plain is not None:
        signatures[str(plain.signature)] += 1
        write_metadata(plain.path, plain.metadata, _signer(places.signing, plain.signature))
        if moment.backup is not None:
            named = msgspec.structs.replace(named, backup=str(plain.path.absolute()))
    for number, stretch in enumerate(restore_path.stretches):
        progress("archive", number, len(restore_path.stretches))
        content = read_segment(stretch.segment, identities, places.signing)
        header = content.header
        path = segment_path(there.archive, header.timelines[-1][0], header.first, header.last)
        signer = _signer(places.signing, content.signature)
        write_segment(path, header, row_lines(content.rows), content.answers, signer=signer)
        signatures[str(content.signature)] += 1
    return Prepared(
        moment=named,
        begins_with=restore_path.begins_with,
        passed_over=search.passed_over,
        signatures=dict(signatures),
    )


def _signer(signing: Signing, signature: Signature) -> SigningKey | None:
    """The store's own key for the copy of what a trusted one has signed; what is not, stays so."""
    return signing.signer() if signature.is_trusted else None

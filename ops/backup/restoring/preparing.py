"""Plain copies of all files that a restore needs, for a service that has no key: `prepare`."""

import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec

from ops.archive.reading import read_segment, require_segment_key
from ops.archive.segment import SegmentContent, segment_path
from ops.archive.writing import row_lines, write_segment
from ops.backup.metadata import Backup, write_metadata
from ops.backup.opening import bring, require_key
from ops.backup.restoring.materialize import without_segment
from ops.backup.restoring.plan import next_signed
from ops.backup.restoring.restore_path import Moment, RestorePath
from ops.backup.restoring.search import Search
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.targets.sealing import Identities
from ops.targets.signing import Signature, Signing, SigningKey
from ops.targets.target import local


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Plain copies in a folder.

    `moment` is the moment to restore from there, `begins_with` the backup that the restore begins with.
    `passed_over` has the damaged files, each with the reason, `signatures` the number of files by signature.
    """

    moment: Moment
    begins_with: str
    passed_over: dict[str, str]
    signatures: dict[str, int]


def require_readable(places: Places, moment: Moment, identities: Identities) -> None:
    """Returns if there is a way to a moment, a key to try if it is encrypted, and every required signature.

    Raises:
        BackupError: one of these is missing.
        OSError: a bucket is away.
    """
    restore_path = next_signed(Search(places, moment, identities), places.signing)
    if restore_path.backup is not None:
        require_key(restore_path.backup, identities)
    if not identities:
        for one in restore_path.stretches:
            require_segment_key(one.segment)


def prepared_places(places: Places, folder: Path) -> Places:
    """The places of a restore from the copies that were prepared in a folder."""
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
        BackupError: there is no way to that moment, a file on it is not sound, or no key opens it.
        OSError: a bucket is away, the disk is full.
    """
    there = prepared_places(places, folder)
    search = Search(places, moment, identities)
    plain: Backup | None = None
    signatures: Counter[str] = Counter()
    while True:
        restore_path = search.next_path()
        try:
            plain, signatures = _copy(restore_path, places.signing, there, identities, progress)
            break
        except BackupError as error:
            search.pass_over(error.backup or restore_path.begins_with, error)
            for folder_of_copies in (local(there.backups), local(there.archive)):
                shutil.rmtree(folder_of_copies, ignore_errors=True)
    # Looking up a time needs a key, so the service gets the position instead.
    named = (
        moment
        if moment.time is None
        else msgspec.structs.replace(moment, time=None, position=restore_path.position)
    )
    if plain is not None and moment.backup is not None:
        named = msgspec.structs.replace(named, backup=str(plain.path.absolute()))
    return Prepared(
        moment=named,
        begins_with=restore_path.begins_with,
        passed_over=search.passed_over,
        signatures=dict(signatures),
    )


def _copy(
    restore_path: RestorePath, signing: Signing, there: Places, identities: Identities, progress: Progress
) -> tuple[Backup | None, Counter[str]]:
    """Copies all files on a way; the plain backup, and the number of copied files by signature."""
    signatures: Counter[str] = Counter()
    plain: Backup | None = None
    folder = local(there.backups)
    folder.mkdir(mode=0o700, exist_ok=True)
    if restore_path.backup is not None:
        require_key(restore_path.backup, identities)
        plain = bring(restore_path.backup, folder, identities, progress=progress)
        signatures[str(plain.signature)] += 1
        write_metadata(plain.path, plain.metadata, _signer(signing, plain.signature))
    for number, stretch in enumerate(restore_path.stretches):
        progress("archive", number, len(restore_path.stretches))
        try:
            content = read_segment(stretch.segment, identities, signing)
        except BackupError as error:
            raise without_segment(error, stretch.segment, stretch.segment.first - 1) from error
        _write(content, signing, there)
        signatures[str(content.signature)] += 1
    for stretch in restore_path.late_answers:
        # A restore does without late answers that it cannot read.
        with suppress(BackupError):
            _write(read_segment(stretch.segment, identities, signing), signing, there)
    return plain, signatures


def _write(content: SegmentContent, signing: Signing, there: Places) -> None:
    header, signer = content.header, _signer(signing, content.signature)
    path = segment_path(there.archive, header.timelines[-1][0], header.first, header.last)
    write_segment(path, header, row_lines(content.rows), content.answers, signer=signer)


def _signer(signing: Signing, signature: Signature) -> SigningKey | None:
    """The key that signs a copy: the store's own if a trusted key signed the original, else none."""
    return signing.signer() if signature.is_trusted else None

"""Signs segments that were written before there was a key: `sign_archive`.

The old files themselves are never signed. An unsigned segment is written anew from the store's log, if it has
the same events as the log. A segment with events that the log lacks, for example of a timeline that a restore
left, stays unsigned.
"""

import msgspec

from ops.archive.merge import ReadLog, last_hash
from ops.archive.reading import read_signature
from ops.archive.segment import METADATA_SUFFIX, Segment, list_segments, segment_path
from ops.archive.writing import write_segment
from ops.progress import Progress, ignore_progress
from ops.targets.errors import BackupError
from ops.targets.sealing import ENCRYPTED_SUFFIX
from ops.targets.signing import Signing, SigningKey
from ops.targets.target import Place, delete_file


class SignedArchive(msgspec.Struct, frozen=True, kw_only=True):
    """The number of segments signed now, and signed before; and those left unsigned, each with the reason."""

    signed: int
    before: int
    left: dict[str, str]


def sign_archive(
    folder: Place,
    read_log: ReadLog,
    *,
    recipients: tuple[str, ...] = (),
    signing: Signing,
    progress: Progress = ignore_progress,
) -> SignedArchive:
    """Writes each unsigned segment anew that has the log's events. No other process may write meanwhile.

    A segment that is damaged, or cannot be signed, is in `left`.

    Raises:
        BackupError: the key cannot be used.
        OSError: the disk is full, the bucket is away.
    """
    segments = list_segments(folder)
    signed = before = 0
    left: dict[str, str] = {}
    # Unsigned segments may be read here, even if a restore would refuse them.
    relaxed = msgspec.structs.replace(signing, is_required=False)
    signer = signing.signer() if segments else None
    for number, one in enumerate(segments):
        progress("archive", number, len(segments))
        try:
            if read_signature(one, relaxed).state == "signed":
                before += 1
                continue
            _sign(folder, one, read_log, recipients, relaxed, signer)
            signed += 1
        except BackupError as error:
            left[one.name] = error.message
    return SignedArchive(signed=signed, before=before, left=left)


def _sign(
    folder: Place,
    one: Segment,
    read_log: ReadLog,
    recipients: tuple[str, ...],
    signing: Signing,
    signer: SigningKey | None,
) -> None:
    logged = read_log(one.first, one.last)
    header = logged.header
    if (header.timelines[-1][0], header.first, header.last) != (one.timeline, one.first, one.last) or (
        last_hash(one, signing) != logged.last_hash
    ):
        raise BackupError("foreign", f"{one.name} has another history than the store's log")
    suffix = ENCRYPTED_SUFFIX if recipients else ""
    path = segment_path(folder, one.timeline, one.first, one.last, suffix)
    write_segment(
        path,
        header,
        logged.lines,
        last_hash=logged.last_hash,
        recipients=recipients,
        signer=signer,
    )
    if path != one.place:
        delete_file(one.place)
        if one.is_encrypted:
            delete_file(one.place.with_name(one.name + METADATA_SUFFIX))

"""What a restore needs, made readable for a service that has no key: `prepare`."""

from pathlib import Path

import msgspec

from ops.archive.segment import read_segment, require_segment_key, row_lines, segment_path, write_segment
from ops.backup.create import Progress, ignore_progress
from ops.backup.metadata import write_metadata
from ops.backup.opening import bring, require_key
from ops.backup.places import Places
from ops.backup.restore import find_restore
from ops.backup.way import Moment
from ops.targets.sealing import Identities


def require_readable(places: Places, moment: Moment, identities: Identities) -> None:
    """Returns if there is a way to a moment, and a key where one is needed on it.

    Raises:
        BackupError: there is not.
        OSError: a bucket is away.
    """
    way = find_restore(places, moment, identities)
    if way.backup is not None:
        require_key(way.backup, identities)
    if not identities:
        for one in way.stretches:
            require_segment_key(one.segment)


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
) -> Moment:
    """Puts plain copies of the backup and the segments that a restore needs into a local folder.

    The moment that comes back is the same one, as it is called there; see `prepared_places`.

    Raises:
        BackupError: there is no way to that moment, something is not sound, or no key opens it.
        OSError: a bucket is away, the disk is full.
    """
    way = find_restore(places, moment, identities)
    there = prepared_places(places, folder)
    # A time was looked up; the position is the same for who has no key.
    named = (
        moment if moment.time is None else msgspec.structs.replace(moment, time=None, position=way.position)
    )
    assert isinstance(there.backups, Path)
    there.backups.mkdir(mode=0o700)
    if way.backup is not None:
        require_key(way.backup, identities)
        plain = bring(way.backup, there.backups, identities, progress=progress)
        write_metadata(plain.path, plain.metadata)
        if moment.backup is not None:
            named = msgspec.structs.replace(named, backup=str(plain.path.absolute()))
    for number, stretch in enumerate(way.stretches):
        progress("archive", number, len(way.stretches))
        content = read_segment(stretch.segment, identities)
        header = content.header
        path = segment_path(there.archive, header.timelines[-1][0], header.first, header.last)
        write_segment(path, header, row_lines(content.rows), content.answers)
    return named

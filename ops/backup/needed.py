"""The backups that the archive needs: `needed_backups`.

A moment is reached from a backup of its history at or behind it, or from one before it and the archive's
events in between; without any backup, from the archive alone if it has all of them. Where the archive of a
timeline does not reach back to the first event, it is worth nothing without a backup to begin with.
"""

from collections.abc import Sequence
from contextlib import suppress

from ops.archive.reading import read_header
from ops.archive.segment import Segment, list_segments, runs
from ops.archive.timelines import Timelines
from ops.backup.metadata import Backup
from ops.targets.errors import BackupError
from ops.targets.target import Place

# How often a look at the archive is tried: nobody meets that many merges in a row.
MERGES_MET = 3


def needed_backups(folder: Place, backups: Sequence[Backup]) -> set[str]:
    """The names of those backups without which moments that the archive has could not be reached.

    Raises:
        BackupError: a segment is damaged.
        OSError: the folder cannot be read, or the bucket is away.
    """
    for _ in range(MERGES_MET - 1):
        # The service may merge meanwhile: a segment that was listed is gone, and a larger one has its events.
        with suppress(FileNotFoundError, BackupError):
            return _needed(folder, backups)
    return _needed(folder, backups)


def _needed(folder: Place, backups: Sequence[Backup]) -> set[str]:
    segments = list_segments(folder)
    needed = set()
    for timeline in {one.timeline for one in segments}:
        own = [one for one in segments if one.timeline == timeline]
        for run in _runs_of(own):
            history = read_header(run[0]).timelines
            if _reaches_back(segments, history, run[0].first):
                continue
            last = max(one.last for one in run)
            holders = [one for one in backups if _holds(one, history, run[0].first, last)]
            newest = max(holders, key=lambda one: one.metadata.position, default=None)
            if newest is not None:
                needed.add(newest.name)
    return needed


def _runs_of(segments: list[Segment]) -> list[list[Segment]]:
    """The stretches without a gap of one timeline."""
    found: list[list[Segment]] = []
    covered = 0
    for one in segments:
        if one.first <= one.last and one.first > covered:
            run = list(runs(segments, one.first - 1))
            found.append(run)
            covered = max(each.last for each in run)
    return found


def _reaches_back(segments: list[Segment], history: Timelines, first: int) -> bool:
    """Whether the archive alone leads from the first event of a history to one."""
    at = 0
    for place, (timeline, _) in enumerate(history):
        own = [one for one in segments if one.timeline == timeline]
        end = history[place + 1][1] - 1 if place + 1 < len(history) else first - 1
        for one in runs(own, at):
            at = max(at, one.last)
        if at < end:
            return False
        at = end
    return True


def _holds(backup: Backup, history: Timelines, first: int, last: int) -> bool:
    """Whether the events of a run can be had with a backup: it ends before, in or behind it."""
    metadata = backup.metadata
    if metadata.position < first - 1:
        return False
    until = min(metadata.position, last)
    known = tuple(one for one in metadata.timelines if one[1] <= until)
    return known == tuple(one for one in history if one[1] <= until)

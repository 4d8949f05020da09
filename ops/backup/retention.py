"""The backups that stay: `retain` says which rule keeps each backup; the archive needs `needed_backups`.

There are three ways to a moment: a backup of its history that ends at or behind it; a backup that ends before
it, and the archived events in between; or the archive alone, if it has all events. An archive that does not
reach back to the first event is useless without a backup to begin with.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from ops.archive.reading import read_header
from ops.archive.segment import Segment, list_segments, runs
from ops.archive.timelines import Timelines
from ops.backup.metadata import Backup, list_backups, metadata_path
from ops.settings import Settings
from ops.targets.errors import BackupError
from ops.targets.target import KeptFile, Place, delete_file

# How many times the archive is read if a merge of segments gets in the way; so many in a row do not happen.
MERGES_MET = 3
_DAY_MS = 24 * 60 * 60 * 1000


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules; a backup stays if one of them keeps it.

    `newest` keeps this many of the newest backups, and of the newest proven ones, however old. `days` keeps
    all that are younger. `hourly`, `daily`, `weekly`, `monthly` keep the newest backup of each hour, day,
    week or month (UTC) that has one, for that many of them, counted from the newest.
    """

    newest: int = 1
    days: float = 30
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0


def rules_of(settings: Settings) -> Rules:
    """The rules in the settings."""
    return Rules(
        newest=settings.backup_keep_newest,
        days=settings.backup_retention_days,
        hourly=settings.backup_keep_hourly,
        daily=settings.backup_keep_daily,
        weekly=settings.backup_keep_weekly,
        monthly=settings.backup_keep_monthly,
    )


def retained(settings: Settings, store_id: str, rules: Rules, now_ms: int) -> dict[str, str | None]:
    """The answer of `retain` for the backups of a store in the folder of the settings.

    Raises:
        BackupError: a segment of the archive is damaged.
        OSError: a folder cannot be read, or the bucket is away.
    """
    backups = list_backups(settings.backup_folder, store_id, settings.signing)
    needed = needed_backups(settings.archive_folder, [one for one in backups if one.status != "damaged"])
    return retain(backups, rules, now_ms, needed=needed)


def split(kept: Mapping[str, str | None], *, dry_run: bool) -> dict[str, Any]:
    """The answer to a prune: the names of backups that go in `removed`, those that stay and why in `kept`."""
    return {
        "removed": [name for name, why in kept.items() if why is None],
        "kept": {name: why for name, why in kept.items() if why is not None},
        "dry_run": dry_run,
    }


def retain(
    backups: Iterable[Backup], rules: Rules, now_ms: int, *, needed: Collection[str] = ()
) -> dict[str, str | None]:
    """Why each backup is kept, by its name; `None` for a backup that may go.

    These stay at any age: pinned backups, the newest and the newest proven ones, the newest and the newest
    proven ones that a trusted key has signed, and those that are `needed` (by the archive). A backup that is
    damaged, or whose signature is refused, fills no place of a rule: it stays while it is young or pinned.
    """
    newest_first = sorted(backups, key=lambda one: one.metadata.timestamp, reverse=True)
    kept: dict[str, str | None] = {one.name: None for one in newest_first}

    def keep(chosen: Iterable[Backup], why: str) -> None:
        for one in chosen:
            kept[one.name] = kept[one.name] or why

    sound = [one for one in newest_first if one.status != "damaged"]
    proven = [one for one in sound if one.status == "proven"]
    signed = [one for one in sound if one.signature.is_trusted]
    keep((one for one in newest_first if one.metadata.pinned), "pinned")
    keep((sound or newest_first)[:1], "the newest")
    keep(proven[:1], "the newest proven one")
    # A user who can write to the folder can forge unsigned backups that look newer.
    signed_and_proven = [one for one in signed if one.status == "proven"]
    keep(signed[:1], "the newest signed one")
    keep(signed_and_proven[:1], "the newest signed and proven one")
    # Independent of the clock: one that is far ahead makes all backups look old.
    for one in (sound, proven, signed, signed_and_proven):
        keep(one[: rules.newest], f"among the newest {rules.newest}")
    keep((one for one in newest_first if one.name in needed), "the archive needs it")
    oldest_ms = now_ms - rules.days * _DAY_MS
    keep((one for one in newest_first if one.metadata.timestamp > oldest_ms), f"within {rules.days:g} days")
    keep(_newest_of_each(sound, rules.hourly, lambda at: at.strftime("%Y%m%d%H")), "hourly")
    keep(_newest_of_each(sound, rules.daily, lambda at: at.strftime("%Y%m%d")), "daily")
    keep(_newest_of_each(sound, rules.weekly, lambda at: at.strftime("%G%V")), "weekly")
    keep(_newest_of_each(sound, rules.monthly, lambda at: at.strftime("%Y%m")), "monthly")
    return kept


def remove(backup: KeptFile) -> None:
    """Deletes a backup, its metadata first: a file without metadata, left by a crash, is no backup."""
    delete_file(metadata_path(backup.place))
    delete_file(backup.place)


def _newest_of_each(
    newest_first: list[Backup], count: int, period: Callable[[datetime], str]
) -> list[Backup]:
    newest: dict[str, Backup] = {}
    for one in newest_first:
        newest.setdefault(period(datetime.fromtimestamp(one.metadata.timestamp / 1000, UTC)), one)
    return list(newest.values())[:count]


def needed_backups(folder: Place, backups: Sequence[Backup]) -> set[str]:
    """The names of the backups that the archive needs: without one, some archived moments are out of reach.

    Raises:
        BackupError: a segment is damaged.
        OSError: the folder cannot be read, or the bucket is away.
    """
    for _ in range(MERGES_MET - 1):
        # The service may merge segments meanwhile: a listed one is gone, and a larger one has its events.
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
    """The segments of one timeline, in runs without a gap."""
    found: list[list[Segment]] = []
    covered = 0
    for one in segments:
        if one.first <= one.last and one.first > covered:
            run = list(runs(segments, one.first - 1))
            found.append(run)
            covered = max(each.last for each in run)
    return found


def _reaches_back(segments: list[Segment], history: Timelines, first: int) -> bool:
    """Whether the archive alone leads from the first event of a history to the event `first`."""
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
    """Whether a run of segments can be replayed on a backup: one of its history, with no gap between them."""
    metadata = backup.metadata
    if metadata.position < first - 1:
        return False
    until = min(metadata.position, last)
    known = tuple(one for one in metadata.timelines if one[1] <= until)
    return known == tuple(one for one in history if one[1] <= until)

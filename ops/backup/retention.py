"""The rules by which backups are kept: `retain` says of each which rule does, or that none does."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime

import msgspec

from ops.backup.metadata import Backup, metadata_path
from ops.settings import Settings
from ops.targets.target import KeptFile, delete_file

_DAY_MS = 24 * 60 * 60 * 1000


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept; a backup stays that any of these keeps.

    `days`: all that are younger. `hourly`, `daily`, `weekly`, `monthly`: the newest one of each of that many
    hours, days, weeks and months (UTC) that have any, the newest first.
    """

    days: float = 30
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0


def rules_of(settings: Settings) -> Rules:
    """The rules in the settings."""
    return Rules(
        days=settings.backup_retention_days,
        hourly=settings.backup_keep_hourly,
        daily=settings.backup_keep_daily,
        weekly=settings.backup_keep_weekly,
        monthly=settings.backup_keep_monthly,
    )


def retain(
    backups: Iterable[Backup], rules: Rules, now_ms: int, *, needed: Collection[str] = ()
) -> dict[str, str | None]:
    """Why each backup is kept, by its name; `None` for those that may go.

    Whatever the rules say, pinned ones, the newest one, the newest proven one and those that are `needed` (by
    the archive) stay. One that was found damaged stands for nothing: it stays while it is young or pinned.
    """
    newest_first = sorted(backups, key=lambda one: one.metadata.timestamp, reverse=True)
    kept: dict[str, str | None] = {one.name: None for one in newest_first}

    def keep(chosen: Iterable[Backup], why: str) -> None:
        for one in chosen:
            kept[one.name] = kept[one.name] or why

    sound = [one for one in newest_first if one.metadata.status != "damaged"]
    proven = [one for one in sound if one.metadata.status == "proven"]
    keep((one for one in newest_first if one.metadata.pinned), "pinned")
    keep((sound or newest_first)[:1], "the newest")
    keep(proven[:1], "the newest proven one")
    keep((one for one in newest_first if one.name in needed), "the archive needs it")
    oldest_ms = now_ms - rules.days * _DAY_MS
    keep((one for one in newest_first if one.metadata.timestamp > oldest_ms), f"within {rules.days:g} days")
    keep(_newest_of_each(sound, rules.hourly, lambda at: at.strftime("%Y%m%d%H")), "hourly")
    keep(_newest_of_each(sound, rules.daily, lambda at: at.strftime("%Y%m%d")), "daily")
    keep(_newest_of_each(sound, rules.weekly, lambda at: at.strftime("%G%V")), "weekly")
    keep(_newest_of_each(sound, rules.monthly, lambda at: at.strftime("%Y%m")), "monthly")
    return kept


def remove(backup: KeptFile) -> None:
    """Deletes a backup. Its metadata goes first, if it has any: what is left after a crash is no backup."""
    delete_file(metadata_path(backup.place))
    delete_file(backup.place)


def _newest_of_each(
    newest_first: list[Backup], count: int, period: Callable[[datetime], str]
) -> list[Backup]:
    newest: dict[str, Backup] = {}
    for one in newest_first:
        newest.setdefault(period(datetime.fromtimestamp(one.metadata.timestamp / 1000, UTC)), one)
    return list(newest.values())[:count]

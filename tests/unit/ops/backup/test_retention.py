"""Which backups are kept, and by which rule."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ops.backup.metadata import Backup, Metadata
from ops.backup.retention import Rules, retain, rules_of
from ops.settings import Settings
from tests.support.clock import DAY_MS, HOUR_MS

# A Thursday, at noon.
NOW = 1_800_014_400_000


def backup(age_ms: int, *, proven: bool = False, pinned: bool = False) -> Backup:
    metadata = Metadata(
        timestamp=NOW - age_ms,
        description="",
        version="0",
        size=1,
        checksum="",
        store_id="s",
        timeline=1,
        timelines=((1, 1),),
        position=1,
        head_hash="",
        first_recorded_at=None,
        last_recorded_at=None,
        rows={},
        migrations=[],
        sqlite_version="",
        duration_ms=1,
        chain_verified_from=0,
        last_verified=0,
        last_drilled=1 if proven else None,
        pinned=pinned,
    )
    return Backup(Path(f"backup-{NOW - age_ms}"), metadata)


def kept_ages(backups: list[Backup], rules: Rules) -> list[int]:
    kept = retain(backups, rules, NOW)
    return sorted(NOW - one.metadata.timestamp for one in backups if kept[one.name])


def test_by_default_a_month_is_kept():
    backups = [backup(day * DAY_MS) for day in range(1, 40)]
    assert kept_ages(backups, Rules()) == [day * DAY_MS for day in range(1, 30)]


def test_a_clock_that_is_a_year_ahead_costs_none_of_the_newest_few():
    year = 365 * DAY_MS
    backups = [backup(year + day * DAY_MS, proven=day > 3) for day in range(1, 8)]
    kept = kept_ages(backups, rules_of(Settings()))
    assert kept == [year + day * DAY_MS for day in (1, 2, 3, 4, 5, 6)]


def test_the_newest_the_newest_proven_one_and_pinned_ones_stay_whatever_the_rules_say():
    backups = [
        backup(100 * DAY_MS),
        backup(200 * DAY_MS),
        backup(300 * DAY_MS, proven=True),
        backup(400 * DAY_MS, proven=True),
        backup(500 * DAY_MS, pinned=True),
    ]
    assert kept_ages(backups, Rules(days=0)) == [age * DAY_MS for age in (100, 300, 500)]


def test_of_each_period_the_last_one_is_kept():
    hourly = [backup(hour * HOUR_MS) for hour in range(24 * 60)]
    assert kept_ages(hourly, Rules(days=0, hourly=3)) == [0, HOUR_MS, 2 * HOUR_MS]
    # Noon, then the last one of each day before.
    assert kept_ages(hourly, Rules(days=0, daily=3)) == [0, 13 * HOUR_MS, 37 * HOUR_MS]
    assert len(kept_ages(hourly, Rules(days=0, weekly=4))) == 4
    assert len(kept_ages(hourly, Rules(days=0, monthly=12))) == 3


@given(
    ages=st.lists(st.integers(0, 400 * DAY_MS), min_size=1, max_size=40, unique=True),
    rules=st.builds(
        Rules,
        days=st.floats(0, 100),
        hourly=st.integers(0, 5),
        daily=st.integers(0, 5),
        weekly=st.integers(0, 5),
        monthly=st.integers(0, 5),
    ),
)
def test_more_is_never_kept_by_fewer_rules(ages: list[int], rules: Rules):
    backups = [backup(age) for age in ages]
    kept = kept_ages(backups, rules)
    assert min(ages) in kept
    assert set(kept_ages(backups, Rules(days=rules.days))) <= set(kept)
    # Pruning twice deletes nothing more.
    assert kept_ages([one for one in backups if NOW - one.metadata.timestamp in kept], rules) == kept

"""Causes of a bad health: the guide explains each, and one that no disk can be made to have."""

import re
from pathlib import Path

from ops.archive.archiver import ArchiveState
from ops.backup.schedule import BackupState
from ops.health import causes
from ops.health.causes import backup_causes, store_causes
from ops.health.store import Integrity, StoreLook
from ops.settings import Settings

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")


SOURCE = Path(causes.__file__).read_text(encoding="utf-8")
# Each with its level.
THERE_ARE = set(re.findall(r'Cause\(\s*"(\w+)",\s*"(\w+)"', SOURCE))


def test_the_guide_explains_each_cause_with_its_level_and_no_other():
    assert len(THERE_ARE) > 20
    explained = set(re.findall(r"^\| `(\w+)` \| (degraded|unhealthy) \|", GUIDE, re.MULTILINE))
    assert explained == THERE_ARE


def test_each_cause_is_caused_in_a_test_and_seen_on_all_surfaces():
    tests = (ROOT / "tests" / "integration" / "test_health.py").read_text(encoding="utf-8")
    seen = set(re.findall(r'\.sees\(\s*"(\w+)",\s*level="(\w+)"', tests))
    assert seen == THERE_ARE


def test_a_disk_that_hangs_makes_what_is_known_old_and_the_service_unhealthy():
    def found(age_seconds: float) -> list[str]:
        each = store_causes(StoreLook(), Integrity(), look_age_seconds=age_seconds, look_late_seconds=12.0)
        return [one.message for one in each]

    assert found(11.9) == []
    assert found(30.0) == ["the disks have not answered for 30 s"]


def test_an_archive_that_does_not_keep_up_is_told():
    backups = BackupState(
        last=None, last_at=None, last_proven=None, last_proven_at=None, count=0, failure=None, stale=False
    )

    def found(lag_seconds: float) -> list[str]:
        archive = ArchiveState(
            folder="s3://far/away",
            position=1,
            lag_events=7,
            lag_seconds=lag_seconds,
            outside=True,
            note=None,
            problem=None,
        )
        each = backup_causes(backups, archive, now_ms=0, began_ms=0, settings=Settings())
        return [one.cause for one in each]

    assert found(9.9) == []
    assert found(10.1) == ["archive_behind"]

"""Causes of a bad health: the guide explains each, and one that no disk can be made to have."""

import inspect
import os
import re
from pathlib import Path

import pytest

from bus.log.damage import Damage
from bus.replication.following import FollowerState
from ops.archive.archiver import ArchiveState
from ops.health import causes, cluster, handling, machine, stream_causes
from ops.health.cause import MEANINGS
from ops.health.causes import archive_causes, store_causes
from ops.health.cluster import following_causes
from ops.health.machine import limits_in
from ops.health.store import StoreLook
from ops.settings import Settings
from tests.support.documents.guides import guide
from tests.support.repository import ROOT

GUIDE = guide("operating.md")


SOURCES = [inspect.getsource(one) for one in (causes, cluster, handling, stream_causes)]
# Each with its level.
THERE_ARE = {found for one in SOURCES for found in re.findall(r'Cause\(\s*"(\w+)",\s*"(\w+)"', one)}


def test_the_guide_explains_each_cause_with_its_level_and_no_other():
    assert len(THERE_ARE) > 20
    explained = set(re.findall(r"^\| `(\w+)` \| (degraded|unhealthy) \|", GUIDE, re.MULTILINE))
    assert explained == THERE_ARE


def test_the_guide_says_what_each_cause_means_for_what_is_stored_as_the_service_does():
    assert set(MEANINGS) == {name for name, _ in THERE_ARE}
    rows = re.findall(r"^\| `(\w+)` \| (?:degraded|unhealthy) \| (.*) \|$", GUIDE, re.MULTILINE)
    said = {name: cells.split(" | ") for name, cells in rows}
    assert {name: cells[1] for name, cells in said.items()} == MEANINGS
    assert [name for name, cells in said.items() if len(cells[2].split()) < 2] == []


def test_each_cause_is_caused_in_a_test_and_seen_on_all_surfaces():
    tests = (ROOT / "tests" / "integration" / "ops" / "health" / "test_causes.py").read_text(encoding="utf-8")
    seen = set(re.findall(r'\.sees\(\s*"(\w+)",\s*level="(\w+)"', tests))
    assert seen == THERE_ARE


def test_memory_is_that_of_the_strictest_group_around_the_process(tmp_path: Path):
    own = tmp_path / "own"
    files = {
        "system.slice/hyperpage.service/memory.max": "max",
        "system.slice/memory.max": "2000",
        "memory/inner/memory.limit_in_bytes": "3000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    own.write_text("12:cpu,cpuacct:/x\n4:memory:/inner\n0::/system.slice/hyperpage.service\n")
    assert min(limits_in(tmp_path, own)) == 2000
    # In a container, the path of the outer group does not exist.
    own.write_text("4:memory:/docker/0123\n")
    assert limits_in(tmp_path, own) == [9223372036854771712]
    assert limits_in(tmp_path, tmp_path / "elsewhere than on Linux") == []


def test_without_a_limit_the_memory_is_the_machines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "limits_in", lambda *_: [])
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert machine.memory().limit_bytes == whole
    monkeypatch.setattr(machine, "limits_in", lambda *_: [2**63, 1_000_000])
    assert machine.memory().limit_bytes == 1_000_000


def test_a_disk_that_hangs_makes_what_is_known_old_and_the_service_unhealthy():
    def found(age_seconds: float) -> list[str]:
        each = store_causes(StoreLook(), Damage(), None, look_age_seconds=age_seconds, look_late_seconds=12.0)
        return [one.message for one in each]

    assert found(11.9) == []
    assert found(30.0) == ["the disks have not answered for 30 s"]


def test_an_archive_that_does_not_keep_up_is_told():
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
        return [one.cause for one in archive_causes(archive)]

    assert found(9.9) == []
    assert found(10.1) == ["archive_behind"]


def test_one_that_follows_is_behind_by_when_it_had_all_of_the_log_or_since_it_began():
    def found(age_ms: int | None, follows_ms: int) -> list[str]:
        state = FollowerState(
            position=5, log_position=9, age_ms=age_ms, follows_ms=follows_ms, problem=None, repair=None
        )
        return [one.cause for one in following_causes(state, Settings())]

    assert found(9_000, 60_000) == []
    assert found(11_000, 60_000) == ["follower_behind"]
    assert found(None, 9_000) == []
    assert found(None, 11_000) == ["follower_behind"]

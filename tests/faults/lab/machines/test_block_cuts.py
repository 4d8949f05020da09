"""The small edition of power cuts on a real file system, and whether they would notice what is lost."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.lab.experiment import Broken
from tests.lab.machines.block_cuts import Recording, judge, record
from tests.lab.machines.crash_images import crash_images
from tests.lab.machines.judging import require_file
from tests.lab.machines.recorded_disk import mounted, why_not
from tests.lab.machines.starter import starter

SEED = 1


def test_what_was_answered_is_there_after_cuts_and_is_not_where_flushes_do_not_count(tmp_path: Path) -> None:
    if (why := why_not("ext4")) is not None:
        pytest.skip(f"not on this machine: {why}")
    chance = random.Random(SEED)
    with starter() as start:
        recording = record("ext4", tmp_path, chance, start, acts=0)
        counts = judge(recording, 2, chance, tmp_path, start)
    print(counts)
    assert counts["answers"] > 0
    assert any(_without_flushes(recording, tmp_path, chance))


def _without_flushes(recording: Recording, folder: Path, chance: random.Random) -> Iterator[bool]:
    """For each power cut of a disk that ignores flushes: True if the store is broken."""
    disk, store = recording.disk, folder / "cut" / "data" / "hyperpage.db"
    for crash in crash_images(disk.base, disk.journal, 5, chance, folder, flushes_count=False):
        heard = recording.applications.as_of(crash.at_ns)
        try:
            with mounted(crash.image, folder / "cut", recording.kind):
                require_file(store, heard)
        except (Broken, OSError, apsw.Error, subprocess.CalledProcessError):
            yield True
        else:
            yield False

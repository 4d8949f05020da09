"""Disks of the lab: files that a killed process still holds do not keep a disk mounted for ever."""

import threading
from pathlib import Path

import pytest

from tests.lab.machines.recorded_disk import make_image, mounted, why_not

# Until then, unmounting fails and is tried again; any time will do.
HELD_SECONDS = 0.3


def test_a_disk_that_somebody_has_for_a_moment_longer_is_unmounted_then(tmp_path: Path) -> None:
    if (why := why_not("ext4")) is not None:
        pytest.skip(f"not on this machine: {why}")
    image, where = tmp_path / "image", tmp_path / "disk"
    where.mkdir()
    make_image(image, "ext4")
    with mounted(image, where, "ext4"):
        held = (where / "file").open("wb")
        letting_go = threading.Timer(HELD_SECONDS, held.close)
        letting_go.start()
    letting_go.join()
    assert not where.is_mount()

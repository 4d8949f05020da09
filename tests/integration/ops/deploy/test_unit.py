"""The unit for systemd, as systemd's own checker sees it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ops import deploy

UNIT = Path(deploy.__file__).with_name("hyperpage.service")
# The unit's exposure by `systemd-analyze`, in tenths of a point: from 0, the best, to 100.
EXPOSURE = 12


def test_it_leaves_no_core_file():
    assert "LimitCORE=0" in UNIT.read_text(encoding="utf-8").splitlines()


def test_the_exposure_is_what_the_guide_says():
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze, to look at the unit with")
    command = ("systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNIT))
    for threshold, code in ((EXPOSURE, 0), (EXPOSURE - 1, 1)):
        done = subprocess.run(
            [*command, f"--threshold={threshold}"], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr

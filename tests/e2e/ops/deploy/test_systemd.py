"""The unit as it is shipped, under a real systemd: started, watched, shut in, stopped."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import deploy
from tests.support.machines.booted import Booted, booted, missing
from tests.support.patience import wait_for
from tests.support.repository import ROOT

UNIT = Path(deploy.__file__).with_name("hyperpage.service").read_text(encoding="utf-8")
# The program lies where this one does, perhaps below /root, which the unit hides; the rest is as it is.
HERE = f"""
[Unit]
DefaultDependencies=no
[Service]
ProtectHome=no
WatchdogSec=4
Environment=PYTHONPATH={ROOT} PYTHONDONTWRITEBYTECODE=1
ExecStart=
ExecStart={sys.executable} -m ops.cli serve
"""
FOLDERS = sorted({str(one) for path in (ROOT, Path(sys.base_prefix)) for one in (path, *path.parents)})

pytestmark = pytest.mark.prove


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Booted]:
    """A systemd that has started the unit."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    if ROOT.is_relative_to("/tmp"):
        pytest.skip("the unit has a /tmp of its own, and sees nothing of a clone below /tmp")
    files = {
        "/etc/systemd/system/hyperpage.service": UNIT,
        "/etc/systemd/system/hyperpage.service.d/here.conf": HERE,
    }
    # Only in this copy may the unit's user enter the folders of the program.
    with booted(tmp_path / "root", files, units="hyperpage.service", passable=FOLDERS) as systemd:
        wait_for(lambda: systemd("systemctl", "is-active", "hyperpage", check=False) == "active")
        yield systemd


def run(systemd: Booted, *arguments: str) -> str:
    """The output of a `hyperpage` command that runs as the service's user."""
    program = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "ops.cli")
    return systemd("runuser", "-u", "hyperpage", "--", *program, *arguments, "--data", "/var/lib/hyperpage")


def test_the_unit_serves_is_watched_loses_nothing_and_stops(systemd: Booted):
    wait_for(lambda: systemd.show("hyperpage", "StatusText") == "healthy")
    assert (
        json.loads(run(systemd, "send", "app_state.set", '{"key": "k", "value": 1}', "--json"))["position"]
        == 1
    )
    # A backup, by which every kind of file that it writes is written.
    assert json.loads(run(systemd, "doctor", "--json"))["status"] == "well"

    frozen = systemd.show("hyperpage", "MainPID")
    status = systemd("cat", f"/proc/{frozen}/status")
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    assert re.search(r"^Uid:\s+11999\b", status, re.MULTILINE)

    # Only root can read the service's environment variables; its nats-server does not get them.
    assert systemd("stat", "--format=%u", f"/proc/{frozen}/environ") == "0"
    assert re.search(r"^Max core file size\s+0\s+0\s", systemd("cat", f"/proc/{frozen}/limits"), re.MULTILINE)

    systemd("kill", "-STOP", frozen)
    wait_for(lambda: systemd.show("hyperpage", "NRestarts") == "1")
    wait_for(lambda: systemd("systemctl", "is-active", "hyperpage", check=False) == "active")
    assert systemd.show("hyperpage", "MainPID") != frozen
    assert json.loads(run(systemd, "query", "app_state.get", '{"key": "k"}', "--json"))["value"] == 1

    systemd("systemctl", "stop", "hyperpage")
    assert (systemd.show("hyperpage", "Result"), systemd.show("hyperpage", "ExecMainStatus")) == (
        "success",
        "0",
    )

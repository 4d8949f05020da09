"""The example of a package with aggregates: its own tests pass, and what its README has typed in works."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents.guides import blocks
from tests.support.documents.typed_in import steps
from tests.support.repository import ROOT
from tests.support.services.command_line import Served, environment

SHOP = ROOT / "examples" / "shop"
README = (SHOP / "README.md").read_text(encoding="utf-8")


# The guide's own tests do the same in `make test`.
@pytest.mark.prove
def test_it_passes_its_own_tests() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=SHOP,
        env=environment(HYPERPAGE=f"{sys.executable} -m ops.cli"),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout


def test_every_command_of_its_readme_is_carried_out(tmp_path: Path) -> None:
    (serve, *others) = [shlex.split(step.command) for step in steps(README)]
    assert serve[:2] == ["hyperpage", "serve"]
    assert len(blocks("console", README)) == 1
    path = f"{environment()['PYTHONPATH']}:{SHOP}"
    with Served(tmp_path / "data", "--no-http", *serve[2:], PYTHONPATH=path) as served:
        said = [served.ask(*command[1:]) for command in others]
    assert said[-2]["points"] == 20
    assert [(one["id"], one["state"]) for one in said[-1]["items"]] == [("b1", "checked_out")]

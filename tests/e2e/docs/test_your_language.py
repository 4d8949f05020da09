"""The guide to writing a client: its checklist is the suite's, and its program passes as it says."""

import subprocess
import sys
from pathlib import Path

from hyperpage_client.testing.client_conformance.cases import CASES
from hyperpage_client.testing.client_conformance.program import listed
from tests.support.documents.guides import blocks, guide
from tests.support.repository import ROOT
from tests.support.services.command_line import PROGRAM, environment

GUIDE = guide("your-language.md")
[ADAPTER] = blocks("python", GUIDE)
SUMMARY = blocks("text", GUIDE)[-1]
COMMAND = "python -m hyperpage_client.testing.client_conformance"


def test_the_checklist_is_what_the_cases_ask_for() -> None:
    assert GUIDE.endswith(f"## What a client must do\n\n{listed(CASES)}"), f"see {COMMAND} --list"


def test_the_parts_that_an_adapter_may_lack_are_told() -> None:
    assert {f"`{part}`" for case in CASES for part in case.needs} <= set(GUIDE.replace(",", " ").split())


def test_the_client_on_bare_nats_py_gets_as_far_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "adapter.py").write_text(ADAPTER, encoding="utf-8")
    assert f"$ {COMMAND} -- " in GUIDE

    ran = subprocess.run(
        [sys.executable, *COMMAND.split()[1:], "--", sys.executable, "adapter.py"],
        cwd=tmp_path,
        env=environment(HYPERPAGE=" ".join(PROGRAM), PYTHONPATH=f"{ROOT}:{ROOT / 'clients/python'}"),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert ran.stdout.endswith(SUMMARY), ran.stdout + ran.stderr
    assert ran.returncode == 0

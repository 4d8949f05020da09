"""The fixtures for other people's tests: a session of pytest with a real service in it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.repository import ROOT

TESTS = """
def test_one(hyperpage_client):
    hyperpage_client.send("jobs.enqueue", {"type": "sync", "name": "nightly", "id": "one"})

def test_two(hyperpage_service, hyperpage_client):
    assert hyperpage_client.get("jobs", id="one")["name"] == "nightly"
    assert hyperpage_service.http_url.startswith("http://")
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_theirs.py").write_text(TESTS)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "hyperpage_client.pytest_plugin",
            "-p",
            "no:cacheprovider",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}", **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_session_has_one_service_and_each_test_a_client(tmp_path: Path):
    ran = run(tmp_path, HYPERPAGE=f"{sys.executable} -m ops.cli")

    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_what_is_missing_is_said(tmp_path: Path):
    nothing = run(tmp_path, PATH="", HYPERPAGE="")
    broken = run(tmp_path, HYPERPAGE=f"{sys.executable} -m ops.cli --never")

    assert "name its program in HYPERPAGE" in nothing.stdout
    assert "the service did not start" in broken.stdout

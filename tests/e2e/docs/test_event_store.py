"""The guide for applications of the library `eventsourcing`, typed in word for word."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents.guides import blocks, guide
from tests.support.documents.typed_in import steps
from tests.support.repository import ROOT
from tests.support.services.command_line import Served, environment, separately

GUIDE = guide("event-store.md")
SCHOOL, TEACH, FOLLOW, FORWARD = blocks("python", GUIDE)
TAUGHT, FOLLOWED, FORWARDED = blocks("text", GUIDE)
(DOGS,) = (one for one in blocks("python", guide("your-own-aggregates.md")) if "class Tired" in one)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dogs.py").write_text(DOGS)
    (tmp_path / "school.py").write_text(SCHOOL)
    (tmp_path / "school").mkdir()
    return tmp_path


def run(folder: Path, program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_application_is_followed_kept_and_sent_on_as_the_guide_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(folder, TEACH) == TAUGHT
    assert run(folder, FOLLOW) == FOLLOWED

    monkeypatch.chdir(folder)
    for step in steps(GUIDE):
        said = separately(*step.command.split()[1:])
        assert step.is_shown_by(said.out), (step, said)

    served = ("--no-http", "--aggregates", "dogs=dogs:Dog")
    with Served(folder / "data", *served, PYTHONPATH=f"{ROOT}:{folder}") as service:
        assert run(folder, FORWARD) == FORWARDED
        # Forwarding everything a second time changes nothing.
        assert run(folder, FORWARD) == FORWARDED
        assert len(service.ask("query", "events.read")["items"]) == 2
    restored = separately("backup", "restore", "--latest", "--yes", "--data", "school")
    assert restored.code == 0, restored
    # The third event is the restore's.
    asks = "from school import School\nschool = School()\nprint(school.recorder.max_notification_id())"
    assert run(folder, asks) == "3\n"


def test_the_guide_is_found_from_the_readme() -> None:
    assert "(docs/event-store.md)" in (ROOT / "README.md").read_text(encoding="utf-8")

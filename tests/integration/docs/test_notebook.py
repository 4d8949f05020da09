"""The notebook's cells run, and tell of the backups that they are given."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.support.repository import ROOT
from tests.support.stores.backing_up import Stored
from tests.support.stores.night import night_lake

NOTEBOOK = ROOT / "docs" / "notebook" / "analytics.py"


@pytest.fixture(autouse=True)
def _at_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    # As an editor or a runner starts it: no settings of a user, and no arguments of the tests.
    monkeypatch.chdir(NOTEBOOK.parent)
    monkeypatch.setattr("sys.argv", [str(NOTEBOOK)])


def ran() -> tuple[Any, dict[str, Any]]:
    """The outputs of the cells, and the names that they define."""
    specification = importlib.util.spec_from_file_location("notebook", NOTEBOOK)
    assert specification is not None
    assert specification.loader is not None
    notebook = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(notebook)
    outputs, found = notebook.app.run()
    return outputs, dict(found)


def words(outputs: Any) -> str:
    return " ".join(" ".join(one.text.split()) for one in outputs if hasattr(one, "text"))


def test_every_cell_runs_and_the_story_is_what_the_backups_have():
    outputs, found = ran()

    assert len(outputs) > 20
    assert not found["exported"].refused
    assert (found["worst"]["tool"], f"{found['worst']['hour']:%Y-%m-%d %H:%M}") == (
        "gitlab",
        "2026-10-06 13:00",
    )
    assert "in the hour from Tuesday, 06 October, 13:00, 26 of 26 attempts" in words(outputs)
    assert "by on-call, ops, scheduler" in words(outputs)
    assert found["errors"].row(0)[0] == "503 Service Unavailable"
    [disabled] = found["changes"].filter(type="tool_config.disabled.v1").iter_rows(named=True)
    assert (disabled["actor"], disabled["enabled"]) == ("on-call", 0)
    assert set(found["differences"]["table_name"]) >= {"jobs", "job_history", "tool_configs"}
    assert (
        0 < found["jobs_then"]["jobs"].sum() < found["lake"].sql("SELECT count(*) FROM jobs").fetchall()[0][0]
    )
    assert found["budgets"]["left_percent"].min() == 0
    assert found["answer"].height == 8
    # Not only charts that are made, but charts that have something to draw.
    charts = [one for one in outputs if type(one).__module__.startswith("altair")]
    assert [len(chart.to_dict()["datasets"]) for chart in charts] == [1, 1]


def test_other_backups_are_told_of_in_their_own_words_and_in_the_zone_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    night_lake(tmp_path)
    options = ["--backups", str(tmp_path / "backups"), "--time-zone", "Europe/Berlin"]
    monkeypatch.setattr("sys.argv", [str(NOTEBOOK), *options])

    outputs, found = ran()

    said = words(outputs)
    assert "from Saturday, 24 October 2026, 22:00 to Sunday, 25 October 2026, 03:05 (Europe/Berlin)" in said
    assert "in the hour from Sunday, 25 October, 02:00, 3 of 3" in said
    assert "There were 3 such changes, by dev, on-call, ops." in said
    assert found["errors"].rows()[0][:2] == ("503", 3)
    assert (
        found["jobs_then"]["jobs"].sum()
        == found["lake"].sql(f"SELECT count(*) FROM jobs_at('{found['moment']}')").fetchall()[0][0]
    )
    assert found["hour"].stop == 5
    assert found["budgets"]["left_percent"].to_list() == [60, 0, 90, 50]


def test_backups_in_which_nothing_failed_have_a_notebook_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stored = Stored(tmp_path / "data")
    stored.store.send("app_state.set", {"key": "theme", "value": "dark"})
    stored.backup()
    stored.close()

    monkeypatch.setattr("sys.argv", [str(NOTEBOOK), "--backups", str(stored.folder)])
    outputs, _ = ran()

    assert "No attempt failed." in words(outputs)

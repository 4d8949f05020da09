"""The notebook's cells run, and find in the sample backups what they tell of."""

import importlib.util

import pytest

from tests.support.repository import ROOT

NOTEBOOK = ROOT / "docs" / "notebook" / "analytics.py"


@pytest.fixture(autouse=True)
def _at_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever an editor or a runner says of where it is: no settings of a user's own.
    monkeypatch.chdir(NOTEBOOK.parent)


def test_every_cell_runs_and_the_story_is_what_the_backups_have():
    specification = importlib.util.spec_from_file_location("notebook", NOTEBOOK)
    assert specification is not None
    assert specification.loader is not None
    notebook = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(notebook)

    outputs, found = notebook.app.run()

    assert len(outputs) > 20
    assert not found["exported"].refused
    assert (found["worst"]["tool"], f"{found['worst']['hour']:%Y-%m-%d %H:%M}") == (
        "gitlab",
        "2026-10-06 13:00",
    )
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

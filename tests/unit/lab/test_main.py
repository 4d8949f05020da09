"""The results that a run of the lab keeps, and when it keeps none."""

import signal
from collections.abc import Iterator

import pytest

from ops.lab.results import Results
from tests.lab import __main__ as lab
from tests.lab import page, results
from tests.lab.running import Outcome

NAME = "kills-under-load"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Results]:
    """The kept results of runs that end early, after their first trial, at a commit without changes."""
    found: list[Results] = []

    def outcomes(*_: object, **__: object) -> Iterator[Outcome]:
        yield Outcome(experiment=NAME, seed=7, seconds=2.0, counts={"answers": 3})
        raise KeyboardInterrupt

    monkeypatch.setattr(lab, "outcomes", outcomes)
    monkeypatch.setattr(lab, "_git", lambda *_: "")
    monkeypatch.setattr(results, "read", Results)
    monkeypatch.setattr(results, "write", found.append)
    monkeypatch.setattr(page, "write", lambda _: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return found


def test_a_run_that_is_ended_early_keeps_what_it_has_found(
    kept: list[Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["lab", "--only", NAME])

    assert lab.main() == 0

    [kept_now] = kept
    [run] = kept_now.runs
    assert run.experiments[NAME].counts == {"answers": 3}


def test_a_chosen_seed_and_a_tree_with_changes_say_nothing_of_a_commit(
    kept: list[Results], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["lab", "--only", NAME, "--seed", "7"])
    lab.main()
    assert "Not kept: the seed was chosen." in capsys.readouterr().out

    monkeypatch.setattr("sys.argv", ["lab", "--only", NAME])
    monkeypatch.setattr(lab, "_git", lambda *_: " M bus/x.py")
    lab.main()

    assert "Not kept: there are changes that no commit has." in capsys.readouterr().out
    assert kept == []

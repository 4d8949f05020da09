"""Turns of the lab: fair, each in a process of its own, and ended by nothing but the time."""

import os
from pathlib import Path

import pytest

from tests.lab import running
from tests.lab.experiment import Experiment, Trial
from tests.lab.running import Outcome, outcomes
from tests.support.patience import wait_for

# The experiments of this module, by name; each gets its name, a seed, a folder and a file.
PROGRAM = """
import json, os, pathlib, subprocess, sys, time
name, seed, folder, file = sys.argv[1:]
assert not list(pathlib.Path(folder).iterdir())
if name == "holds":
    pathlib.Path(file).write_text(json.dumps({"counts": {"answers": 3}}))
if name == "breaks":
    print("what it printed")
    pathlib.Path(file).write_text(json.dumps({"broken": f"with {seed}"}))
if name == "ends":
    os._exit(7)
if name.startswith("makes "):
    made = pathlib.Path(name.removeprefix("makes "))
    try:
        made.touch()
        time.sleep(3600)
    finally:
        made.unlink()
if name == "hangs":
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    print(left.pid, flush=True)
    time.sleep(3600)
"""


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "TRIAL", ("-c", PROGRAM))


def experiment(name: str, seconds: float = 600.0) -> Experiment:
    def played(_trial: Trial) -> dict[str, int]:
        raise AssertionError("in a process of its own")

    return Experiment(name=name, promise="p.", means="m.", run=played, seconds=seconds)


def played(tmp_path: Path, *experiments: Experiment, trials: int = 1) -> list[Outcome]:
    return list(outcomes(experiments, first_seed=2**32 - 1, seconds=0, trials=trials, folder=tmp_path))


def test_each_has_a_turn_however_short_the_time_is_and_nothing_is_left(tmp_path: Path) -> None:
    found = played(tmp_path, experiment("holds"), experiment("breaks"), experiment("ends"), trials=2)

    assert [(one.experiment, one.counts, one.broken) for one in found] == [
        ("holds", {"answers": 3}, None),
        ("breaks", {}, "with 4294967295"),
        ("ends", {}, "the trial's process ended by itself, with 7"),
    ]
    assert found[1].printed == "what it printed\n"
    assert found[1].again == "make lab ARGS='--only breaks --seed 4294967295 --trials 1'"
    assert list(tmp_path.iterdir()) == []


def test_seeds_follow_each_other(tmp_path: Path) -> None:
    found = list(
        outcomes([experiment("breaks")], first_seed=2**32 - 1, seconds=3600, trials=3, folder=tmp_path)
    )

    assert [one.seed for one in found] == [2**32 - 1, 0, 1]


def test_one_that_hangs_puts_away_what_it_has_made(tmp_path: Path) -> None:
    made = tmp_path / "made"
    played(tmp_path, experiment(f"makes {made}", seconds=5.0))

    # It may not even have begun on a busy machine.
    assert not made.exists()


def test_one_that_hangs_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    [found] = played(tmp_path, experiment("hangs", seconds=1.0))

    assert found.broken == "it was not over after 1 s"
    # It may not even have begun on a busy machine.
    left = [int(pid) for pid in found.printed.split()[:1] if pid.isdigit()]
    wait_for(lambda: not any(map(_is_there, left)))


def _is_there(pid: int) -> bool:
    """Whether a process runs; a zombie, whose end its parent has not read, does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

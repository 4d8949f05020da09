"""Gives turns to experiments until the time is over, each trial in a process of its own.

A trial that hangs is killed with all that it started; a broken one does not stop the others.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tests.lab.experiment import Experiment
from tests.support.repository import ROOT

# A seed is the sum of the first seed and the number of the turn, so that two numbers give all seeds of a run.
SEEDS = 2**32
# The time that a trial has for removing what it has made.
ENDS_WITHIN_SECONDS = 20.0
# Python's arguments for each trial; the experiment, the seed, an empty folder and the result's file follow.
TRIAL = ("-m", "tests.lab.trial")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one trial: `counts` of what was tried, or how it was `broken`, and its output."""

    experiment: str
    seed: int
    seconds: float
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    broken: str | None = None
    printed: str = ""

    @property
    def again(self) -> str:
        """The command that repeats it."""
        return f"make lab ARGS='--only {self.experiment} --seed {self.seed} --trials 1'"


def outcomes(
    experiments: Sequence[Experiment], *, first_seed: int, seconds: float, trials: int | None, folder: Path
) -> Iterator[Outcome]:
    """The outcome of each trial, as it ends; the next trial is of the experiment with the least time so far.

    No trial begins after `seconds`, but each experiment has at least one, and at most `trials`.
    """
    began = time.monotonic()
    used = dict.fromkeys((one.name for one in experiments), 0.0)
    turns = dict.fromkeys(used, 0)
    while True:
        waiting = [one for one in experiments if trials is None or turns[one.name] < trials]
        if time.monotonic() - began > seconds:
            waiting = [one for one in waiting if not turns[one.name]]
        if not waiting:
            return
        next_one = min(waiting, key=lambda one: used[one.name])
        outcome = _tried(next_one, (first_seed + turns[next_one.name]) % SEEDS, folder)
        used[next_one.name] += outcome.seconds
        turns[next_one.name] += 1
        yield outcome


def _tried(experiment: Experiment, seed: int, folder: Path) -> Outcome:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hyperpage-lab-", dir=folder) as own:
        said, printed = Path(own) / "said.json", Path(own) / "printed"
        scratch = Path(own) / "scratch"
        scratch.mkdir()
        command = [
            sys.executable,
            *TRIAL,
            experiment.name,
            str(seed),
            str(scratch),
            str(said),
        ]
        with printed.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                process.wait(experiment.seconds)
                found = json.loads(said.read_text()) if said.exists() else {"broken": _ended(process)}
            except subprocess.TimeoutExpired:
                found = {"broken": f"it was not over after {experiment.seconds:g} s"}
            finally:
                _end_all_of(process)
        return Outcome(
            experiment=experiment.name,
            seed=seed,
            seconds=time.monotonic() - began,
            printed=printed.read_text(encoding="utf-8", errors="replace"),
            **found,
        )


def _ended(process: "subprocess.Popen[bytes]") -> str:
    return f"the trial's process ended by itself, with {process.returncode}"


def _end_all_of(process: "subprocess.Popen[bytes]") -> None:
    """Ends the process, which removes what it has made; then kills what is left of its session."""
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(ENDS_WITHIN_SECONDS)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        """All have ended."""
    process.wait()

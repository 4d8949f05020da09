"""What came of runs of the lab, as JSON: one entry for each run, and runs add up.

A run is told with its commit, the kind of machine, and for each experiment the seeds (the first one, and how
many followed it), what was tried and what broke.
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.lab.experiment import Experiment
from tests.lab.running import Outcome
from tests.support.repository import ROOT

# In the package, since a service tells what the lab of its version has found.
FILE = ROOT / "ops" / "lab.json"


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """A trial in which something did not hold."""

    seed: int
    what: str


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has made of one experiment: `trials` with the seeds from `first_seed` on.

    With its words, as they were then: whoever reads the results alone is told what they are of.
    """

    promise: str
    means: str
    first_seed: int
    trials: int
    seconds: float
    counts: dict[str, int]
    breaks: list[Break] = []
    # Why there was no trial.
    lacking: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the lab. `began_at` is in UTC, by the minute."""

    began_at: str
    commit: str
    version: str
    machine: str
    experiments: dict[str, Tried]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All runs that were kept, the oldest first."""

    runs: list[Run] = []


def read(file: Path = FILE) -> Results:
    """What is kept; nothing, where there is no file yet."""
    if not file.exists():
        return Results()
    return msgspec.json.decode(file.read_bytes(), type=Results)


def write(results: Results, file: Path = FILE) -> None:
    """Keeps them, in a form whose differences can be read."""
    text = json.dumps(msgspec.to_builtins(results), indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def tried(experiment: Experiment, outcomes: Iterable[Outcome], first_seed: int) -> Tried:
    """The trials of one experiment in one run, summed up."""
    every = list(outcomes)
    counts: Counter[str] = Counter()
    for one in every:
        counts.update(one.counts)
    return Tried(
        promise=experiment.promise,
        means=experiment.means,
        first_seed=first_seed,
        trials=len(every),
        seconds=round(sum(one.seconds for one in every), 1),
        counts=dict(counts),
        lacking=experiment.lacking() if not every else None,
        breaks=[Break(seed=one.seed, what=one.broken) for one in every if one.broken is not None],
    )

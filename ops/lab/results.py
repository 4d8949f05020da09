"""The results of the lab's runs: one entry for each run, and sums over all of them.

A run has its commit, the kind of machine, and for each experiment the seeds (the first one and their number),
what was tried and what broke. The lab itself is no part of the program (`tests/lab`).
"""

from collections import Counter
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import msgspec

NAME = "results.json"


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """A trial in which a promise did not hold."""

    seed: int
    what: str


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one experiment in a run: `trials` with the seeds from `first_seed` on.

    `promise` and `means` are the experiment's words at that time, so that the results can be read without it.
    `lacking` is the reason if there was no trial.
    """

    promise: str
    means: str
    first_seed: int
    trials: int
    seconds: float
    counts: dict[str, int]
    breaks: list[Break] = []
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


class Sum(NamedTuple):
    """One experiment over all runs that had it, the oldest first; the words of the `last` one count."""

    name: str
    tried: list[tuple[Run, Tried]]

    @property
    def last(self) -> Tried:
        return self.tried[-1][1]

    @property
    def trials(self) -> int:
        return sum(one.trials for _, one in self.tried)

    @property
    def breaks(self) -> int:
        return sum(len(one.breaks) for _, one in self.tried)

    @property
    def counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for _, one in self.tried:
            counts.update(one.counts)
        return counts


@cache
def of_this_version(version: str) -> Results:
    """The runs with that version of the program."""
    kept = msgspec.json.decode((files("ops.lab") / NAME).read_bytes(), type=Results)
    return Results(runs=[run for run in kept.runs if run.version == version])


def sums(results: Results) -> list[Sum]:
    """The experiments of all runs, in the order of the last run that had them."""
    found: dict[str, Sum] = {}
    for run in reversed(results.runs):
        for name in run.experiments:
            found.setdefault(name, Sum(name, []))
    for run in results.runs:
        for name, tried in run.experiments.items():
            found[name].tried.append((run, tried))
    return list(found.values())

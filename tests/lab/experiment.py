"""The parts of an experiment of the lab, and the arguments of a trial."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path


class Broken(AssertionError):
    """A promise does not hold. The message says what happened instead, in a sentence."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial: all chance comes from `random.Random(seed)`, all files go into `folder`, which is empty."""

    seed: int
    folder: Path


def nothing() -> None:
    """The `lacking` of most experiments: any machine that runs the tests can run them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A promise, and the means against it.

    `name` selects it, as "cuts-of-sqlite"; `promise` is the sentence that is shown to hold; `means` says what
    is done against it. `run` makes one trial, and returns counts of what was tried, as
    {"crash states": 312, "answers": 5012}; "answers", in every experiment, are those that were compared with
    the store afterwards. It raises `Broken`, or any other `AssertionError`, if a promise does not hold; any
    other error is a defect of the experiment, and counts as a break, too.

    `small` is the seed with which `make test` plays it, in a few seconds; `None` leaves it to the lab.
    `seconds` is the most that a trial may take: a longer one hangs, and counts as broken. `lacking` says what
    this machine lacks of its needs (root, FUSE …): then it is not run, and the results say why.
    """

    name: str
    promise: str
    means: str
    run: Callable[[Trial], Mapping[str, int]]
    small: int | None = None
    seconds: float = 600.0
    lacking: Callable[[], str | None] = nothing

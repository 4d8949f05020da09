"""What an experiment of the lab is, and what one trial of it gets."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path


class Broken(AssertionError):
    """What was promised does not hold. The message says what happened instead, in a sentence."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One go: all chance comes from `random.Random(seed)`, all files go into `folder`, which is empty."""

    seed: int
    folder: Path


def nothing() -> None:
    """What most experiments lack: a machine that runs the tests runs them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A promise, and what is done against it.

    `name` is how it is asked for, as "cuts-of-sqlite"; `promise` the sentence that is shown to hold; `means`
    what is done against it. `run` makes one trial, and returns what was tried, counted, as
    {"crash states": 312, "answers": 5012}; "answers" are those that were compared with what the store has
    afterwards, in every experiment. It raises `Broken`, or any other `AssertionError`, for what does
    not hold; whatever else it raises is a defect of the experiment, and counts as a break, too.

    `small` is the seed with which `make test` plays it, in a few seconds; `None` leaves it to the lab.
    `seconds` is the most that a trial may take: what takes longer hangs, and is broken. `lacking` says what
    this machine does not have that it needs (root, FUSE …): then it is not run, and the results say why.
    """

    name: str
    promise: str
    means: str
    run: Callable[[Trial], Mapping[str, int]]
    small: int | None = None
    seconds: float = 600.0
    lacking: Callable[[], str | None] = nothing

"""Keeps the results of runs of the lab, for the page and for services of this version (`ops/lab`)."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ops.lab.results import NAME, Break, Results, Tried
from tests.lab.experiment import Experiment
from tests.lab.running import Outcome
from tests.support.repository import ROOT

LONGEST = 400
FILE = ROOT / "ops" / "lab" / NAME


def read(file: Path = FILE) -> Results:
    """The kept results."""
    return msgspec.json.decode(file.read_bytes(), type=Results)


def write(results: Results, file: Path = FILE) -> None:
    """Writes the results, in a form whose differences can be read."""
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
        breaks=[Break(seed=one.seed, what=in_short(one.broken)) for one in every if one.broken is not None],
    )


def in_short(text: str) -> str:
    """The description of a break in a line or two, without the folders of the machine."""
    text = re.sub(r"(/[\w.+-]+)+/(?=[\w.+-]+)", "…/", " ".join(text.split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 3]} … {text[-LONGEST * 2 // 3 :]}"

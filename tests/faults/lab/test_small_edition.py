"""The small edition of the lab: one trial of each experiment that has a seed for it, always the same."""

from pathlib import Path

import pytest

from tests.lab.experiment import Experiment, Trial
from tests.lab.experiments import EXPERIMENTS


@pytest.mark.parametrize(
    "experiment", [one for one in EXPERIMENTS if one.small is not None], ids=lambda one: one.name
)
def test_what_is_promised_holds_with_one_seed(experiment: Experiment, tmp_path: Path) -> None:
    if (why := experiment.lacking()) is not None:
        pytest.skip(f"not on this machine: {why}")
    assert experiment.small is not None

    counts = experiment.run(Trial(seed=experiment.small, folder=tmp_path))

    print(experiment.name, dict(counts))
    assert sum(counts.values()) > 0, "nothing was tried"


def test_each_experiment_has_a_name_of_its_own_and_says_what_it_shows() -> None:
    names = [one.name for one in EXPERIMENTS]

    assert len(set(names)) == len(names)
    assert all(one.promise.endswith(".") and one.means.endswith(".") for one in EXPERIMENTS)

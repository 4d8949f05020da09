"""The simulation repeats itself to the byte, and notices what is wrong with the product."""

import pytest

from tests.lab.simulation import faults
from tests.lab.simulation.experiments import noticed
from tests.lab.simulation.run import Runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def test_a_seed_repeats_a_run_to_the_byte(runs: Runs):
    often = (faults.power_cut_of_all, faults.disk_fails, faults.twin)
    first: list[str] = []
    again: list[str] = []
    one = runs.run(7, often=often, lines=first)

    assert runs.run(7, often=often, lines=again) == one
    assert first == again
    assert len(first) > 500
    assert runs.run(8, often=often).trace != one.trace


# The mutants that about every third run notices; all others have an experiment.
@pytest.mark.parametrize(
    "mutant", ["answers before the commit", "commits without a sync", "forgets the ids of commands"]
)
def test_a_step_of_the_product_that_is_taken_away_is_noticed(runs: Runs, mutant: str):
    assert noticed(runs, mutant, first=1) > 0

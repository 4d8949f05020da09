"""All experiments of the lab, in the order in which they are told of."""

from tests.lab.experiment import Experiment
from tests.lab.killing import histories, kills
from tests.lab.machines import block_cuts, broken_links, brokers, strikes
from tests.lab.simulation import experiments as simulation

EXPERIMENTS: tuple[Experiment, ...] = (
    kills.EXPERIMENT,
    histories.EXPERIMENT,
    block_cuts.EXT4,
    block_cuts.XFS,
    strikes.EXPERIMENT,
    brokers.EXPERIMENT,
    broken_links.EXPERIMENT,
    simulation.SIMULATION,
    simulation.MUTATION,
)


def by_name() -> dict[str, Experiment]:
    """Them by their names.

    Raises:
        ValueError: two have the same.
    """
    found = {one.name: one for one in EXPERIMENTS}
    if len(found) != len(EXPERIMENTS):
        raise ValueError("two experiments have the same name")
    return found

"""All experiments of the lab, in the order of the page."""

from tests.lab.clusters import failover, under_faults, versions
from tests.lab.cuts import experiments as cuts
from tests.lab.damage import overwriting
from tests.lab.experiment import Experiment
from tests.lab.fuzzing import experiments as fuzzing
from tests.lab.killing import histories, kills, upgrades
from tests.lab.machines import experiments as machines
from tests.lab.simulation import experiments as simulation
from tests.lab.state_machines import experiments as state_machines

EXPERIMENTS: tuple[Experiment, ...] = (
    kills.EXPERIMENT,
    upgrades.EXPERIMENT,
    histories.EXPERIMENT,
    *cuts.EXPERIMENTS,
    *machines.EXPERIMENTS,
    under_faults.EXPERIMENT,
    failover.EXPERIMENT,
    versions.EXPERIMENT,
    overwriting.EXPERIMENT,
    simulation.SIMULATION,
    simulation.MUTATION,
    *state_machines.EXPERIMENTS,
    fuzzing.OVER_NATS,
    fuzzing.IN_FILES,
)


def by_name() -> dict[str, Experiment]:
    """The experiments by their names.

    Raises:
        ValueError: two have the same name.
    """
    found = {one.name: one for one in EXPERIMENTS}
    if len(found) != len(EXPERIMENTS):
        raise ValueError("two experiments have the same name")
    return found

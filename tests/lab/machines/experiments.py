"""The experiments of this package, in the order of the page."""

from tests.lab.experiment import Experiment
from tests.lab.machines import (
    block_cuts,
    broken_links,
    brokers,
    clocks,
    disks,
    limits,
    soak,
    strikes,
)

EXPERIMENTS: tuple[Experiment, ...] = (
    block_cuts.EXT4,
    block_cuts.XFS,
    strikes.EXPERIMENT,
    brokers.EXPERIMENT,
    broken_links.EXPERIMENT,
    disks.EXPERIMENT,
    clocks.EXPERIMENT,
    limits.EXPERIMENT,
    soak.EXPERIMENT,
)

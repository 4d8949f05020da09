"""The experiments with the simulation: runs from seeds, and mutants that runs must notice."""

import random
from collections import Counter

from tests.lab.experiment import Broken, Experiment, Trial
from tests.lab.simulation.mutants import MUTANTS, mutated
from tests.lab.simulation.run import Runs

SCHEDULES = 60
# The seed with which `make test` does a trial, and its number of runs.
SMALL, SMALL_SCHEDULES = 4, 20
# The number of runs within which a mutant must be noticed.
MUTANT_SCHEDULES = 400


def simulated(trial: Trial) -> dict[str, int]:
    """Makes the runs of a trial; a broken run names its own seed."""
    runs, chance = Runs(trial.folder), random.Random(trial.seed)
    counts: Counter[str] = Counter()
    for _ in range(SMALL_SCHEDULES if trial.seed == SMALL else SCHEDULES):
        seed = chance.randrange(10**9)
        try:
            counts.update(runs.run(seed).counts)
        except AssertionError as error:
            raise Broken(f"run {seed}: {error}") from error
    return counts


def noticed(runs: Runs, name: str, first: int) -> int:
    """The number of runs that it took to notice a mutant, from the seed `first` on.

    Raises:
        Broken: it was not noticed.
    """
    with mutated(name):
        for number in range(MUTANT_SCHEDULES):
            try:
                runs.run(first + number, often=MUTANTS[name].often)
            except Exception as error:  # a mutant may lead to any error
                print(f"{name}: noticed in run {first + number}: {error}")
                return number + 1
    raise Broken(f"a mutant was not noticed in {MUTANT_SCHEDULES} runs: the product {name}")


def _mutants(trial: Trial) -> dict[str, int]:
    runs, chance = Runs(trial.folder), random.Random(trial.seed)
    took = [noticed(runs, name, chance.randrange(10**9)) for name in MUTANTS]
    return {"mutants noticed": len(took), "schedules that it took": sum(took)}


SIMULATION = Experiment(
    name="simulation",
    promise="Whatever happens to service, disk, network and broker, in whichever order: each answer is as "
    "the store has it, each command is carried out once, histories of keys are linearizable, the stream "
    "equals the log, subscribers see each event once and in order, and all is well again with no operator.",
    means="Writer, relay, intakes, queries, clients and subscribers run on a model of broker, disk and "
    "network under one seeded scheduler; services and power go down, links are cut, held and halved, the "
    "broker is restarted, wiped and rolled back, the disk fails and is slow, processes are frozen, and twins "
    "are started.",
    run=simulated,
    small=SMALL,
    seconds=900.0,
)
MUTATION = Experiment(
    name="mutants-of-the-simulated",
    promise="The simulation is not blind: with any of a dozen steps of the product taken away, it tells.",
    means="Each mutant is simulated until something of what is promised does not hold.",
    run=_mutants,
    seconds=3600.0,
)

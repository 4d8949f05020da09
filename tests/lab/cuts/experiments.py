"""The experiments that cut the power, each on recordings that are made anew for each trial."""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.lab.cuts import keeping, mutants, scenarios, small_files, whole
from tests.lab.cuts.crash_states import Model, Rest
from tests.lab.cuts.cutting import Moment, Notes, Scenario, moments, noticed, require_all
from tests.lab.cuts.recording import Change, Mounted, RecordedDisk, why_not_mounted
from tests.lab.cuts.sites import told
from tests.lab.experiment import Broken, Experiment, Trial

MEANS = (
    "The file system records each write and each sync; of moments in between, what a disk may have after a"
    " power cut is made (all, none, any part, or torn parts of what was not synced; by POSIX, and by a"
    " journal's order) and started. With all syncs ignored, the same is found to be broken."
)


class Played(NamedTuple):
    """A scenario with the promise that it checks."""

    name: str
    promise: str
    scenario: Callable[[random.Random], Scenario]
    # The number of states in a trial.
    states: int
    small: int | None = None


PLAYED = (
    Played(
        "cuts-while-serving",
        "After a power cut, all that was answered is there, byte for byte, and nothing that was not sent.",
        scenarios.Serving,
        150,
        small=1,
    ),
    Played(
        "cuts-of-the-whole-service",
        "After a power cut, the whole service starts by itself, is healthy, and has all that was answered.",
        whole.WholeService,
        60,
    ),
    Played(
        "cuts-of-a-new-store",
        "A store that is cut off while it is made starts by itself.",
        scenarios.NewStore,
        150,
    ),
    Played(
        "cuts-of-a-migration",
        "A store of an older version is whole, old or new, whenever its migration is cut off.",
        scenarios.Migration,
        150,
    ),
    Played(
        "cuts-of-a-rebuild",
        "Tables that are put right are so after a power cut, and the log is what it was.",
        scenarios.Rebuild,
        150,
    ),
    Played(
        "cuts-of-an-import",
        "What was imported is there after a power cut, and an import that was cut off leaves a whole store.",
        scenarios.Import,
        150,
    ),
    Played(
        "cuts-of-backups-and-archive",
        "Backups that were listed and events that were archived are there after a power cut, and sound.",
        keeping.Keeping,
        100,
        small=2,
    ),
    Played(
        "cuts-of-a-restore",
        "A restore that is cut off leaves the store before it or the new one, and nothing of either is lost.",
        keeping.Restore,
        100,
        small=5,
    ),
    Played(
        "cuts-of-a-restore-elsewhere",
        "A store that was restored on a new disk is there after a power cut.",
        keeping.LostDisk,
        100,
    ),
    Played(
        "cuts-of-tokens-and-users",
        "After a power cut, tokens and users that were made are good, and revoked ones are not.",
        small_files.Tokens,
        500,
        small=1,
    ),
    Played(
        "cuts-of-keys",
        "A key that somebody was told of is there after a power cut.",
        small_files.Keys,
        500,
        small=1,
    ),
    Played(
        "cuts-of-the-audit-log",
        "An act that is on record stays on record, and a power cut leaves a log that is sound.",
        small_files.Audit,
        500,
        small=1,
    ),
    Played(
        "cuts-of-suspects",
        "With which durable command the service went down twice is known after a power cut.",
        small_files.Suspects,
        500,
        small=1,
    ),
)
# The share of the states that `make test` checks.
SMALL_SHARE = 0.1


def recorded(scenario: Scenario, folder: Path) -> list[Change]:
    """The recording of a scenario, below a recording file system in an empty folder."""
    folder.mkdir()
    with Mounted(folder) as mounted, told(mounted.root):
        scenario.play(mounted.root, Notes(mounted.mark))
        return mounted.changes()


def recorded_of_sqlite(scenario: Scenario, folder: Path) -> list[Change]:
    """The same of SQLite's files in the data directory alone, without such a file system."""
    data = folder / scenarios.DATA
    data.mkdir(parents=True)
    with RecordedDisk.on(data) as disk:
        scenario.play(folder, Notes(disk.mark))
    return disk.changes


def tried(
    scenario: Scenario, changes: Sequence[Change], chance: random.Random, states: int, folder: Path
) -> Mapping[str, int]:
    """The counts of a trial on a recording.

    Raises:
        Broken: a promise does not hold; or all hold even if syncs are ignored, so that nothing was shown.
    """
    counts = require_all(scenario, changes, moments(changes, chance, states), folder)
    at = [Moment(len(changes), Model.STRICT, Rest.NONE, 0), *moments(changes, chance, states // 10)]
    control = noticed(scenario, changes, sorted(at, key=lambda one: one.after), folder, lambda site: True)
    if not control["noticed"]:
        raise Broken("nothing is found to be missing where no sync does anything: this shows nothing")
    return {**counts, "states without syncs": len(at), "of them found broken": control["noticed"]}


def _experiment(played: Played) -> Experiment:
    def run(trial: Trial) -> Mapping[str, int]:
        chance = random.Random(trial.seed)
        scenario = played.scenario(chance)
        changes = recorded(scenario, trial.folder / "recorded")
        states = int(played.states * SMALL_SHARE) if trial.seed == played.small else played.states
        return tried(scenario, changes, chance, states, trial.folder / "cut")

    return Experiment(
        name=played.name,
        promise=played.promise,
        means=MEANS,
        run=run,
        small=played.small,
        lacking=why_not_mounted,
    )


def _of_sqlite(trial: Trial) -> Mapping[str, int]:
    chance = random.Random(trial.seed)
    scenario = scenarios.Serving(chance)
    changes = recorded_of_sqlite(scenario, trial.folder / "recorded")
    return tried(scenario, changes, chance, 30 if trial.seed == 1 else 300, trial.folder / "cut")


def _without_a_sync(trial: Trial) -> Mapping[str, int]:
    chance = random.Random(trial.seed)
    # Without the whole service, which is slow to start, and whose syncs the other scenarios have, too.
    made = [one.scenario for one in PLAYED if one.scenario not in (whole.WholeService, keeping.Restore)]
    # Several of these: in some, the next start repairs from other copies what an old WAL does to a new store.
    every = [one(chance) for one in (*made, *[keeping.TwoRestores] * 4)]
    recordings = [(one, recorded(one, trial.folder / f"{place}")) for place, one in enumerate(every)]
    return mutants.tried(recordings, chance, trial.folder / "cut")


EXPERIMENTS = (
    Experiment(
        name="cuts-of-sqlite",
        promise=PLAYED[0].promise,
        means=f"The same with SQLite's files alone, where there is no such file system. {MEANS}",
        run=_of_sqlite,
        small=1,
    ),
    *map(_experiment, PLAYED),
    Experiment(
        name="cuts-without-a-sync",
        promise="Each sync of the service is needed for a promise, or there is a reason why it is not.",
        means=(
            "Each line that syncs, and each kind of file that SQLite syncs, is passed over, one at a time:"
            " the experiments above find that something is broken, or the reason is listed."
        ),
        run=_without_a_sync,
        seconds=3_600,
        lacking=why_not_mounted,
    ),
)

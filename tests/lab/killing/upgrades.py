"""A store of an older version, killed or out of room at any step of its migration."""

import random
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from migrations import runner
from migrations.connection import open_reader, open_writer
from ops.store.opening import open_store
from ops.store.projections_check import verify
from tests.lab.experiment import Broken, Experiment, Trial
from tests.support.programs.every_step import FAILED, Fault, count_steps, fail_at
from tests.support.stores.writing import TABLES, Sent, Store

LEVELS = [one.name for one in runner.known_migrations()]
# The oldest version with events and tables.
OLDEST = LEVELS.index("003_projection_columns")
FAULTS_A_TRIAL = 12


def _run(trial: Trial) -> dict[str, int]:
    chance = random.Random(trial.seed)
    made, path = trial.folder / "made.db", trial.folder / "hyperpage.db"
    events = _live(made, chance)
    before = _rows(made)
    level = chance.randrange(OLDEST, len(LEVELS) - 1)
    with closing(open_writer(made)) as connection:
        runner.down(connection, to=LEVELS[level])
    _lay_out(made, path)
    steps = count_steps(lambda: _open(path))
    _require_up_to_date(path, before)
    counts = {"events": events, "steps of an upgrade": steps, "kills": 0, "full disks": 0}
    for _ in range(FAULTS_A_TRIAL):
        fault, step = chance.choice(list(Fault)), chance.randrange(steps)
        _lay_out(made, path)
        ended = fail_at(step, fault, lambda: _open(path))
        said = f"{fault.value} at step {step} of {steps}, from {LEVELS[level]}"
        # Another run may take a few steps less, and be done before the fault.
        if ended == FAILED:
            raise Broken(f"it ended with {ended}: {said}")
        _require_one_or_the_other(path, level, said)
        _open(path)
        try:
            _require_up_to_date(path, before)
        except Broken as error:
            raise Broken(f"{error}: {said}") from error
        counts["kills" if fault is Fault.KILL else "full disks"] += 1
    return counts


def _live(path: Path, chance: random.Random) -> int:
    """Makes a store with a random history; returns the number of its events."""
    with Store(path, synced=False) as store:
        for number in range(chance.randrange(5, 60)):
            store.send_together(*(_command(chance, f"{number}-{n}") for n in range(chance.randrange(1, 8))))
        return store.writer.head.position


def _command(chance: random.Random, command_id: str) -> Sent:
    key = f"key-{chance.randrange(12)}"
    commands: list[tuple[str, dict[str, Any]]] = [
        ("app_state.set", {"key": key, "value": chance.random()}),
        ("app_state.delete", {"key": key}),
        ("jobs.enqueue", {"id": key, "type": "sync", "name": key, "payload": {"n": chance.randrange(99)}}),
        ("jobs.claim", {"worker": "worker", "limit": 2}),
        ("jobs.cancel", {"id": key, "reason": "by chance"}),
        ("tool_configs.set", {"tool_name": key, "config": {"n": chance.randrange(99)}}),
        ("rate_limits.observe", {"platform": key, "limit": 100, "remaining": chance.randrange(100)}),
        ("schedules.set", {"id": key, "every_ms": 60_000, "job": {"type": "sync", "name": key}}),
    ]
    name, body = chance.choice(commands)
    return Sent(name, body, command_id)


def _lay_out(made: Path, path: Path) -> None:
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    shutil.copyfile(made, path)


def _open(path: Path) -> None:
    open_store(path, cache_kib=1_024)[0].close()


def _rows(path: Path) -> dict[str, list[Any]]:
    with closing(open_reader(path)) as connection:
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in TABLES}


def _require_one_or_the_other(path: Path, level: int, said: str) -> None:
    # A writer rolls a hot journal back; a reader may not.
    with closing(open_writer(path)) as connection:
        applied = [one.name for one in runner.status(connection) if one.applied]
    if applied not in (LEVELS[: level + 1], LEVELS):
        raise Broken(f"it has {applied[-1]}, and neither the version before nor this one's: {said}")


def _require_up_to_date(path: Path, before: dict[str, list[Any]]) -> None:
    if _rows(path) != before:
        raise Broken("the rows are others than before")
    if not verify(path)["equal"]:
        raise Broken("the rows are not what the log says")


EXPERIMENT = Experiment(
    name="upgrades-at-every-step",
    promise="A store of an older version is brought up to date as a whole, with the rows that it had, or "
    "stays as it was, and the next start goes on.",
    means="A history by chance, set back to a version by chance; bringing it up to date is killed, or its "
    "disk is full, at twelve of its steps: each write, sync, cut and rename is one.",
    run=_run,
    small=11,
    seconds=300.0,
)

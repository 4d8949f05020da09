"""Random damage to the copies of a store: the right copies are blamed, and nothing answered is lost."""

import logging
import random
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bus.log.chain import Row
from ops.archive.segment import list_segments
from ops.backup.metadata import list_backups
from ops.backup.restoring.recovery import DamagedStoreError, require_sound_store
from ops.backup.verdict import STORE, judge
from ops.settings import Settings
from ops.store.projections_check import rebuild_file, verify
from ops.targets.target import local
from tests.lab.experiment import Broken, Experiment, Trial
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION, answers_of
from tests.support.stores.looking_inside import log_of
from tests.support.stores.pages import PAGE_BYTES

# How often a trial damages copies of one history.
_TIMES = 12


class _History:
    """A store with backups and an archive, as it was when its service ended, or crashed."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.data = folder / "data"
        with Archived(self.data, chance.randrange(2**32)) as stored:
            for number in range(chance.randint(2, 4)):
                stored.work(chance.randint(10, 40))
                value = {"key": f"large-{number}", "value": "x" * chance.randint(1, 60_000)}
                stored.store.send("app_state.set", value, id=f"large-{number}")
                stored.archive()
                if chance.random() < 0.6:
                    stored.backup()
            self.has_crashed = chance.random() < 0.5
            self.kept = folder / "kept"
            if self.has_crashed:
                shutil.copytree(self.data, self.kept)
            self.log: list[Row] = log_of(stored.path)
            self.answers = answers_of(stored.path)
        if not self.has_crashed:
            shutil.copytree(self.data, self.kept)

    def again(self) -> Settings:
        """The same, undamaged, in the same folder, since `archive.json` is about the archive there."""
        shutil.rmtree(self.data)
        shutil.copytree(self.kept, self.data)
        return Settings(data=self.data, check_at_start="always")


def _run(trial: Trial) -> Mapping[str, int]:
    chance = random.Random(trial.seed)
    logging.disable(logging.ERROR)
    try:
        history = _History(trial.folder, chance)
        counts: Counter[str] = Counter()
        for _ in range(_TIMES):
            counts.update(_damage_once(history, chance))
        return counts
    finally:
        logging.disable(logging.NOTSET)


def _damage_once(history: _History, chance: random.Random) -> Mapping[str, int]:
    settings = history.again()
    damaged = [_damage_store(settings, chance)]
    if chance.random() < 0.3 and (backups := list_backups(settings.backup_folder)):
        damaged.append(_overwrite(local(chance.choice(backups).place), chance))
    if chance.random() < 0.3:
        damaged.append(_overwrite(local(chance.choice(list_segments(settings.archive_folder)).place), chance))
    verdict = judge(settings.places, known=len(history.log))
    stranger = verdict.wrong.keys() - {STORE, *(one.name for one in damaged), settings.archive_folder.name}
    if stranger:
        raise Broken(f"{', '.join(stranger)} is blamed, and damaged were {[one.name for one in damaged]}")
    try:
        made = require_sound_store(settings, after_a_crash=history.has_crashed, version=VERSION)
    except DamagedStoreError as error:
        if verdict.lost == 0 and not history.has_crashed:
            raise Broken(f"nothing would be lost, and the service does not start: {error}") from error
        return {"damaged copies": len(damaged), "left to an operator": 1}
    if made is None and not verify(settings.store_path)["equal"]:
        if verdict.wrong.get(STORE) is None:
            raise Broken("the tables are not what the log says, and nobody says so")
        rebuild_file(settings.store_path)
    log, answers = log_of(settings.store_path), answers_of(settings.store_path)
    if log[: len(history.log)] != history.log:
        raise Broken(f"the log ends at {len(log)} instead of {len(history.log)}, or has other events")
    missing = [one for one in history.answers if one not in answers]
    if missing and (made is None or len(damaged) > 1):
        # Answers that do not follow from the log are in no other copy.
        return {"damaged copies": len(damaged), "answers that nothing vouches for": len(missing)}
    if missing:
        raise Broken(f"{len(missing)} answers are gone, the first is {missing[0].command_id}")
    if not verify(settings.store_path)["equal"]:
        raise Broken("the tables are not what the log says")
    (settings.data / "repairs.json").unlink(missing_ok=True)
    return {"damaged copies": len(damaged), "answers": len(answers), "events": len(log)}


def _damage_store(settings: Settings, chance: random.Random) -> Path:
    files = [one for one in settings.data.glob("hyperpage.db*") if one.stat().st_size > 0]
    return _overwrite(chance.choice(files), chance)


def _overwrite(file: Path, chance: random.Random) -> Path:
    """Writes noise, zeros or flipped bits at a random place of a file."""
    content = bytearray(file.read_bytes())
    at = chance.randrange(len(content))
    if chance.random() < 0.5:
        at -= at % PAGE_BYTES
    size = min(chance.choice((1, 16, 512, PAGE_BYTES)), len(content) - at)
    noise = chance.choice((chance.randbytes(size), bytes(size)))
    content[at : at + size] = noise if content[at : at + size] != noise else bytes([content[at] ^ 1]) * size
    file.write_bytes(content)
    return file


EXPERIMENT = Experiment(
    name="damage",
    promise="Of damaged copies the right ones are blamed; where all is to be had, the store has all again.",
    means="Bytes of a store, its WAL and shared memory, backups and segments are overwritten, in any place.",
    run=_run,
    small=3,
)

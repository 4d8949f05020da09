"""Any position and time can be restored from any source, and the tables are a fold of the log."""

import random
import shutil
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from bus.log import chain
from bus.log.states import to_recorded
from domain.catalogue import BY_TABLE
from domain.decider import Aggregate, Transition
from domain.messages import split_stream
from migrations import runner
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.store.tables import Tables
from ops.targets.places import Places
from tests.support.chance import SEED
from tests.support.stores.archived import Archived
from tests.support.stores.backing_up import VERSION, answers_of, tables_of
from tests.support.stores.looking_inside import log_of
from tests.support.stores.writing import dump_tables

SOURCES = ("the store itself", "backups", "backups and the archive", "the archive")


class Fold:
    """The tables as the log alone gives them, each event a transaction of its own."""

    def __init__(self, rows: list[chain.Row]) -> None:
        self._rows = iter(rows)
        self._connection = apsw.Connection(":memory:")
        runner.up(self._connection)
        self._states: dict[str, Aggregate] = {}
        self._position = 0

    def tables_at(self, position: int) -> dict[str, Any]:
        """The tables at a position, which must not be before the last one that was asked for."""
        while self._position < position:
            self._apply(next(self._rows))
        return dump_tables(self._connection)

    def _apply(self, row: chain.Row) -> None:
        table, key = split_stream(row.stream)
        before = self._states.get(row.stream, Aggregate())
        recorded = to_recorded(row)
        after = Aggregate(row.version, row.position, BY_TABLE[table].evolve(before.state, recorded))
        self._states[row.stream] = after
        Tables().write(self._connection, [Transition(table, key, before, after, recorded)])
        self._position = row.position


class Kept:
    """A history, with backups here and there and an archive of it all."""

    def __init__(self, folder: Path, commands: int, chance: random.Random) -> None:
        stored = Archived(folder / "kept", chance.randrange(2**32))
        done = 0
        while done < commands:
            done += len(stored.work(chance.randint(10, commands // 4)))
            if chance.random() < 0.6:
                stored.backup()
            stored.archive()
        stored.backup()
        stored.close()
        self.places = stored.places
        self.rows = log_of(stored.path)
        self.answers = answers_of(stored.path)
        self._folder = folder

    def restore(self, moment: Moment, source: str) -> tuple[Path, int]:
        """The store that is restored from that source, and its position."""
        place = self._folder / "restored"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        store, nothing = place / "hyperpage.db", place / "nothing"
        if source == "the store itself":
            shutil.copy(self.places.store, store)
        places = Places(
            store=store,
            backups=self.places.backups if "backups" in source else nothing,
            archive=self.places.archive if "archive" in source else nothing,
        )
        return store, restore(places, moment, version=VERSION, safety=False).position


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("commands", "count"), [(150, 4), pytest.param(1_500, 100, marks=pytest.mark.prove)])
def test_the_tables_of_any_restored_moment_are_a_fold_of_the_log_up_to_it(
    tmp_path: Path, commands: int, count: int
):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    kept = Kept(tmp_path, commands, chance)
    times = [row.recorded_at for row in kept.rows]
    moments: list[tuple[int, Moment]] = []
    for _ in range(count):
        position = chance.randint(1, len(kept.rows))
        moments.append((position, Moment(position=position)))
        time = chance.randint(times[0], times[-1] + 1_000)
        moments.append((bisect_right(times, time), Moment(time=time)))
    fold = Fold(kept.rows)
    used: Counter[str] = Counter()
    for position, moment in sorted(moments, key=lambda one: one[0]):
        source = chance.choice(SOURCES)
        used[source] += 1
        store, restored = kept.restore(moment, source)
        assert restored == position, (moment, source)
        assert tables_of(store) == fold.tables_at(position), (moment, source)
        after = log_of(store)
        assert after[:-1] == kept.rows[:position], (moment, source)
        assert msgspec.json.decode(str(after[-1].data)) == {"timeline": 2, "restored_position": position}
        assert answers_of(store) == [one for one in kept.answers if one[2] <= position], (moment, source)
    print(f"{count} positions and {count} times of {len(kept.rows)} events, from {dict(used)}")

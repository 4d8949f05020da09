"""The tables of a lake at any position equal a fold of the log up to that position."""

import random
from contextlib import closing
from pathlib import Path

import pytest

from bus.log import chain
from migrations.connection import open_reader, write_transaction
from ops.analytics import connect
from ops.analytics.export.exporting import export
from ops.backup.create import create_backup
from projections import rebuild
from tests.support.domain.generated_histories import Chance
from tests.support.stores.lakes import Rows, rows_at, rows_of
from tests.support.stores.life import Life, frequently_kept_states
from tests.support.stores.looking_inside import read_after
from tests.support.stores.migrated import migrated_memory


def test_the_tables_at_random_positions_are_what_the_log_folds_to(tmp_path: Path):
    compare(tmp_path, 0, steps=150, positions=4)


@pytest.mark.prove
@pytest.mark.parametrize("steps", [300, 3_000])
def test_the_tables_at_fifty_random_positions_are_what_the_log_folds_to(tmp_path: Path, steps: int):
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}, {steps} steps")
    compare(tmp_path, seed, steps=steps, positions=50)


def compare(folder: Path, seed: int, *, steps: int, positions: int) -> None:
    chance = Chance(seed)
    end = 0
    with frequently_kept_states():
        life = Life(folder)
        try:
            # In two halves, with a backup after each: the second one goes on from what the lake has.
            for _ in range(2):
                for one in chance.history(steps // 2):
                    life.live(one)
                backup = create_backup(life.path, folder / "backups", version="0")
                report = export([backup], folder / "lake", store_id=None)
                assert (report.exported, report.refused) == ([backup.name], [])
                end = backup.metadata.position
        finally:
            life.store.close()
    with closing(connect(folder / "lake")) as lake:
        for position in [*chance.sample(range(1, end), min(positions, end - 1)), end]:
            assert rows_at(lake, str(position)) == folded(life.path, position), f"position {position}"


def folded(store: Path, position: int) -> Rows:
    """The tables that the events up to a position make, in a store that has no others."""
    with closing(open_reader(store)) as source, closing(migrated_memory()) as connection:
        rows = [row for row in read_after(source, 0, limit=1_000_000) if row.position <= position]
        with write_transaction(connection):
            chain.insert(connection, rows)
            rebuild.repair(connection, {row.stream for row in rows})
        return rows_of(connection)

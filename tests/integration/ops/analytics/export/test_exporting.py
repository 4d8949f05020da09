"""A lake has what its backups have, at every moment of their history."""

from contextlib import closing
from pathlib import Path

import pytest

from bus.log import chain
from ops.analytics import connect
from ops.backup.sound import open_sealed
from projections.tables import TABLE_COLUMNS
from tests.support.stores.backing_up import Stored
from tests.support.stores.lakes import Rows, exported, rows_at, rows_of, rows_shown


class Moments:
    """A store with a history, and what its tables held at some positions of it."""

    def __init__(self, folder: Path, *, seed: int = 0, rounds: int = 8, commands: int = 40) -> None:
        self.stored = Stored(folder, seed)
        self.tables: dict[int, Rows] = {}
        self.times: dict[int, int] = {}
        for _ in range(rounds):
            self.stored.work(commands)
            self.stored.clock.now += 1_000
            self.look()

    def look(self) -> int:
        """Notes what the tables hold now; the position."""
        position = self.stored.store.writer.head.position
        self.tables[position] = self.stored.store.in_writer(rows_of)
        self.times[position] = self.stored.clock.now - 1
        return int(position)


def test_the_views_show_what_the_newest_backup_has_column_by_column(tmp_path: Path, lake: Path):
    moments = Moments(tmp_path / "data")
    backup = moments.stored.backup()
    report = exported(moments.stored, lake)
    moments.stored.work(20)
    moments.stored.close()

    assert (report.exported, report.refused) == ([backup.name], [])
    with closing(connect(lake)) as connection, closing(open_sealed(backup.path)) as source:
        for table in TABLE_COLUMNS:
            columns = [name for name, *_ in connection.execute(f"FROM {table} LIMIT 0").description]
            assert columns == [row[1] for row in source.execute(f"PRAGMA table_info({table})")]
        assert rows_shown(connection) == rows_of(source)
        assert all(
            rows_shown(connection)[table] for table in TABLE_COLUMNS if table not in ("queues", "schedules")
        )
        events = connection.execute("SELECT * FROM events ORDER BY position").fetchall()
        width = len(chain.Row.__struct_fields__)
        assert [row[:width] for row in events] == list(
            source.execute("SELECT * FROM events ORDER BY position")
        )


def test_processes_that_fold_are_ours_wherever_the_export_is_run(
    tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "__init__.py").write_text("raise SystemExit('taken over')")
    moments = Moments(tmp_path / "data", rounds=2)
    backup = moments.stored.backup()
    moments.stored.close()
    monkeypatch.setattr("ops.analytics.export.folding.WORTH_A_PROCESS", 0)
    monkeypatch.chdir(tmp_path)

    assert exported(moments.stored, lake).exported == [backup.name]


def test_the_tables_at_a_position_or_a_time_are_what_they_were(tmp_path: Path, lake: Path):
    moments = Moments(tmp_path / "data")
    moments.stored.backup()
    exported(moments.stored, lake)
    moments.stored.close()

    assert len(moments.tables) == 8
    with closing(connect(lake)) as connection:
        for position, tables in moments.tables.items():
            assert rows_at(connection, str(position)) == tables
            assert rows_at(connection, f"make_timestamp_ms({moments.times[position]})") == tables

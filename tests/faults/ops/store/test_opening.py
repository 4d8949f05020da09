"""A store of an older version is brought up to date as a whole, or left as it is."""

from contextlib import closing
from pathlib import Path

import pytest

from bus.log.answers import read_answers
from migrations import runner
from migrations.connection import open_reader, open_writer
from migrations.runner import MigrationError
from ops.store.opening import open_store
from tests.support.machines.small_disk import PAGE_BYTES, small_disk
from tests.support.stores.writing import Sent, Store

BEFORE = "007_event_causes"


def test_without_room_for_migrations_a_store_stays_as_it_was_and_with_room_every_answer_is_the_same(
    tmp_path: Path,
):
    with small_disk(tmp_path / "disk", 32 * 1024 * 1024) as disk:
        path = disk.folder / "hyperpage.db"
        with Store(path) as store:
            store.send_together(
                *(Sent("app_state.set", {"key": f"k{n}", "value": n}, f"c{n}") for n in range(2_000)),
                Sent("app_state.set", {"key": "k0", "value": 0}, "nothing"),
            )
            answers = store.in_writer(lambda connection: read_answers(connection, 0))
        with closing(open_writer(path)) as connection:
            runner.down(connection, to=BEFORE)
        size_bytes = path.stat().st_size

        with disk.leaving(32 * PAGE_BYTES), pytest.raises(MigrationError, match="bytes beside it"):
            open_store(path, cache_kib=1024)
        with closing(open_reader(path)) as connection:
            assert [one.name for one in runner.status(connection) if one.applied][-1] == BEFORE
        assert path.stat().st_size == size_bytes

        opened, _ = open_store(path, cache_kib=1024)
        with closing(opened):
            assert sorted(read_answers(opened, 0)) == sorted(answers)
            assert opened.execute("SELECT count(*) FROM command_answers WHERE answer IS NULL").get == 2_000

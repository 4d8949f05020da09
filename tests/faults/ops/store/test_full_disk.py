"""A disk without room for what SQLite keeps beside a store."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ops.store.troubles import hint_of, message_of, require_damage
from tests.support.machines.small_disk import PAGE_BYTES, small_disk


def test_a_full_disk_is_told_where_sqlite_calls_it_an_io_error(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1024 * 1024) as disk:
        store = disk.folder / "store.db"
        with closing(apsw.Connection(str(store))) as connection:
            connection.pragma("journal_mode", "wal")
            connection.execute("CREATE TABLE t (a)")
        with (
            disk.leaving(PAGE_BYTES),
            closing(apsw.Connection(str(store))) as connection,
            pytest.raises(apsw.IOError) as caught,
        ):
            # There is no room for the index of the WAL.
            connection.execute("SELECT * FROM t")
    assert message_of(caught.value) == "there is no room on its disk"
    assert hint_of(caught.value).startswith("make room")
    with pytest.raises(OSError, match="No space left"):
        require_damage(caught.value, "store.db")

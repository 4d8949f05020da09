"""Rows are looked up at once for as long as that is quick, on one connection."""

from pathlib import Path

import apsw
import pytest

from bus.serving.lookups import PAUSE_SECONDS, SLOW_SECONDS, Lookups
from migrations.connection import open_reader, open_writer


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    connection = open_writer(path)
    connection.execute("CREATE TABLE t (key TEXT PRIMARY KEY) STRICT; INSERT INTO t VALUES ('a'), ('b')")
    connection.close()
    return path


def test_slow_ones_are_left_to_others_for_a_while(store: Path):
    clock = Clock()
    lookups = Lookups(lambda: open_reader(store), clock)

    def look_up(*seconds: float) -> list[bool]:
        """Whether they were quick after each."""
        were_quick = []
        for each in seconds:
            with lookups.reader():
                clock.seconds += each
            were_quick.append(lookups.are_quick)
        return were_quick

    quick = 0.000_02
    assert look_up(quick, SLOW_SECONDS * 5, quick) == [True] * 3
    # One that stops, or several that are slow.
    for slow in ([SLOW_SECONDS * 20], [SLOW_SECONDS * 2] * 7):
        assert look_up(*slow) == [True] * (len(slow) - 1) + [False]
        clock.seconds += PAUSE_SECONDS
        assert look_up(quick, quick) == [True, True]
    lookups.close()


def test_a_connection_that_is_still_reading_is_replaced(store: Path):
    opened: list[apsw.Connection] = []

    def open_one() -> apsw.Connection:
        opened.append(open_reader(store))
        return opened[-1]

    lookups = Lookups(open_one)
    with lookups.reader() as connection:
        connection.execute("SELECT * FROM t").fetchall()
    with lookups.reader() as connection:
        half_read = connection.execute("SELECT * FROM t")
        half_read.fetchone()
    with lookups.reader() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchall() == [(2,)]

    assert len(opened) == 2
    with pytest.raises(apsw.ConnectionClosedError):
        opened[0].execute("SELECT 1")
    lookups.close()

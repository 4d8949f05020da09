"""Rows are looked up at once for as long as that is quick, on one connection."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from bus.serving.queries.lookups import PAUSE_SECONDS, SLOW_SECONDS, Lookups
from hyperpage_client.contract.log_place import LogPlace
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
    connection.execute(
        "CREATE TABLE t (key TEXT PRIMARY KEY) STRICT; INSERT INTO t VALUES ('a'), ('b');"
        "CREATE TABLE events (position INTEGER PRIMARY KEY) STRICT; INSERT INTO events VALUES (1), (2)"
    )
    connection.close()
    return path


class Turns(list[Callable[[], None]]):
    """Callbacks for the next turn of an event loop."""

    def begin(self) -> None:
        while self:
            self.pop()()


def known() -> LogPlace:
    return LogPlace(3, 1)


def test_slow_ones_are_left_to_others_for_a_while(store: Path):
    clock, turns = Clock(), Turns()
    lookups = Lookups(lambda: open_reader(store), known, clock, next_turn=turns.append)

    def look_up(*seconds: float) -> list[bool]:
        """Whether lookups count as quick after each of these, which takes so many seconds."""
        were_quick = []
        for each in seconds:
            with lookups:
                clock.seconds += each
            were_quick.append(lookups.are_quick)
            turns.begin()
        return were_quick

    quick = 0.000_02
    assert look_up(quick, SLOW_SECONDS * 5, quick) == [True] * 3
    # One very slow lookup, or several slow ones.
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

    turns = Turns()
    lookups = Lookups(open_one, known, next_turn=turns.append)
    with lookups as (connection, _):
        connection.execute("SELECT * FROM t").fetchall()
    turns.begin()
    with lookups as (connection, _):
        half_read = connection.execute("SELECT * FROM t")
        half_read.fetchone()
    turns.begin()
    with lookups as (connection, _):
        assert connection.execute("SELECT count(*) FROM t").fetchall() == [(2,)]

    assert len(opened) == 2
    with pytest.raises(apsw.ConnectionClosedError):
        opened[0].execute("SELECT 1")
    lookups.close()


def test_those_of_one_turn_see_the_same_and_say_up_to_where_that_is(store: Path):
    turns = Turns()
    lookups = Lookups(lambda: open_reader(store), known, next_turn=turns.append)
    writer = open_writer(store)

    def look_up() -> tuple[int, LogPlace]:
        with lookups as (connection, place):
            [(rows,)] = connection.execute("SELECT count(*) FROM t")
            return rows, place

    seen = [look_up()]
    writer.execute("BEGIN; INSERT INTO t VALUES ('c'); INSERT INTO events VALUES (3); COMMIT")
    seen.append(look_up())
    turns.begin()
    seen.append(look_up())

    assert seen == [(2, LogPlace(3, 2)), (2, LogPlace(3, 2)), (3, LogPlace(3, 3))]
    assert len(turns) == 1
    turns.begin()
    # Nothing is read any more, which would keep the WAL from being reset.
    writer.execute("INSERT INTO events VALUES (4)")
    assert writer.execute("PRAGMA wal_checkpoint(truncate)").fetchall() == [(0, 0, 0)]
    lookups.close()
    writer.close()


def test_one_that_asks_for_more_than_its_turn_sees_has_it_see_what_is_there_by_now(store: Path):
    turns = Turns()
    lookups = Lookups(lambda: open_reader(store), known, next_turn=turns.append)
    writer = open_writer(store)
    seen = []

    for least in (2, 2, 3, 1):
        lookups.see(LogPlace(3, least))
        with lookups as (_, place):
            seen.append(place.position)
        writer.execute("INSERT INTO events SELECT max(position) + 1 FROM events")

    assert seen == [2, 2, 4, 4]
    turns.begin()
    writer.close()
    lookups.close()


def test_rows_are_looked_up_where_the_end_of_the_log_cannot_be_read(store: Path):
    writer = open_writer(store)
    writer.execute("DROP TABLE events")
    turns = Turns()
    lookups = Lookups(lambda: open_reader(store), known, next_turn=turns.append)

    with lookups as (connection, place):
        assert connection.execute("SELECT count(*) FROM t").fetchall() == [(2,)]
    assert place == known()

    lookups.close()
    # Closed in between.
    turns.begin()
    writer.close()

"""A remembered answer of a damaged store is any: the latest is restored, with all the other answers."""

import random
import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from bus.log.answers import Answer, verify_answers
from bus.log.rows_of_answers import read_last_rows
from migrations.connection import open_reader
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from tests.support.stores.backing_up import VERSION, Stored, answers_of
from tests.support.stores.forging import places_in
from tests.support.stores.pages import overwrite, pages_of

# By name of the damage: the change of the last row, in SQL.
DAMAGE = {
    "a low position": "position = 1",
    "no position": "position = NULL",
    "a text as position": "position = 'x'",
    "bytes as position": "position = x'ff'",
    "a text as hash": "request_hash = 'x'",
    "no hash of its id": "id_hash = NULL",
    "another hash of its id": "id_hash = 1",
    "a text as count of events": "events = 'abc'",
    "bytes that are no text": "events = 0, command_id = 'x', answer = CAST(x'22ff22' AS TEXT)",
    "an id with a NUL": "events = 0, command_id = CAST(x'7800' AS TEXT), answer = '{}'",
    "an endless depth": "events = 0, command_id = 'x', answer = replace(hex(zeroblob(99999)), '0', '[')",
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stopped store, whose backup has the first half."""
    folder = tmp_path_factory.mktemp("stored") / "data"
    with Stored(folder) as stored:
        stored.work(20)
        stored.backup()
        stored.work(20)
    return folder


def change_last(store: Path, change: str) -> None:
    """Changes the last row without a check of types, as damage does."""
    with closing(apsw.Connection(str(store))) as connection:
        schema = "SELECT sql FROM sqlite_schema WHERE name = 'command_answers'"
        strict = connection.execute(schema).get
        _put_schema(connection, strict.replace("STRICT", "").replace("NOT NULL", ""))
    with closing(apsw.Connection(str(store))) as connection:
        connection.execute(
            f"UPDATE command_answers SET {change} WHERE number = (SELECT max(number) FROM command_answers)"
        )
        _put_schema(connection, strict)


def _put_schema(connection: apsw.Connection, sql: str) -> None:
    connection.pragma("writable_schema", True)
    connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'command_answers'", (sql,))


def restored(folder: Path) -> list[Answer]:
    """The answers after a restore to the latest, which has the whole log."""
    places = places_in(folder)
    restore(places, Moment(latest=True), version=VERSION)
    with closing(open_reader(places.store)) as connection:
        verify_answers(connection)
    return answers_of(places.store)


@pytest.mark.parametrize("what", DAMAGE)
def test_the_other_answers_are_restored_whatever_one_is(stored: Path, tmp_path: Path, what: str):
    folder = tmp_path / "data"
    shutil.copytree(stored, folder)
    answers = answers_of(folder / "hyperpage.db")
    change_last(folder / "hyperpage.db", DAMAGE[what])
    found = restored(folder)
    assert set(found) < set(answers)
    assert len(found) == len(answers) - 1


def test_an_answer_with_a_number_out_of_all_bounds_ends_in_its_turn(stored: Path, tmp_path: Path):
    folder = tmp_path / "data"
    shutil.copytree(stored, folder)
    answers = answers_of(folder / "hyperpage.db")
    change_last(folder / "hyperpage.db", "number = 1 << 40")
    assert restored(folder) == answers


def test_a_page_before_such_a_number_cannot_be_read_and_those_before_it_are(stored: Path, tmp_path: Path):
    folder = tmp_path / "data"
    shutil.copytree(stored, folder)
    store = folder / "hyperpage.db"
    with closing(apsw.Connection(str(store))) as connection:
        for number in (1_000, 1_001, 1_002, 1 << 40):
            connection.execute(
                "INSERT INTO command_answers VALUES ('x', x'', 1000, hex(zeroblob(1600)), 0, 0, ?)", (number,)
            )
        page = pages_of(connection, "command_answers", "leaf")[-2]
        total = connection.execute("SELECT count(*) FROM command_answers").get
    overwrite(store, page, random.Random(1))
    with closing(open_reader(store)) as connection:
        assert total > len(list(read_last_rows(connection, 0))) > total - 3

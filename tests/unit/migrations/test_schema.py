import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from migrations import runner
from migrations.connection import open_reader, open_writer
from migrations.runner import MigrationError, known_migrations
from migrations.schema import SchemaDiffersError, require_own_schema, schema_differences
from tests.support.stores.forging import FORGED_SCHEMAS, tamper

KNOWN = known_migrations()


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    opened = open_writer(tmp_path / "hyperpage.db")
    yield opened
    opened.close()


@pytest.mark.parametrize("level", range(len(KNOWN) + 1))
def test_a_file_of_any_level_has_its_own_schema(connection: apsw.Connection, level: int):
    if level:
        runner.up(connection, KNOWN[:level])
    assert schema_differences(connection) == []
    runner.up(connection)
    assert schema_differences(connection) == []


@pytest.mark.parametrize("level", range(1, len(KNOWN) + 1))
def test_a_file_that_went_down_and_up_again_has_its_own_schema(connection: apsw.Connection, level: int):
    runner.up(connection)
    runner.down(connection, to=KNOWN[level - 1].name, drop_events=True)
    assert schema_differences(connection) == []
    runner.down(connection, drop_events=True)
    assert schema_differences(connection) == []
    runner.up(connection)
    assert schema_differences(connection) == []


def test_a_file_that_was_made_smaller_has_its_own_schema(connection: apsw.Connection):
    runner.up(connection)
    connection.execute("VACUUM")
    assert schema_differences(connection) == []


@pytest.mark.parametrize("how", FORGED_SCHEMAS)
def test_whatever_else_is_there_is_named(connection: apsw.Connection, tmp_path: Path, how: str):
    runner.up(connection)
    connection.close()
    statements, named = FORGED_SCHEMAS[how]
    tamper(tmp_path / "hyperpage.db", statements)
    opened = open_reader(tmp_path / "hyperpage.db")
    with pytest.raises(SchemaDiffersError) as caught:
        require_own_schema(opened, "hyperpage.db")
    assert named in caught.value.message
    assert caught.value.message.startswith("hyperpage.db has a schema that is not this program's: ")
    assert caught.value.hint
    opened.close()


def test_a_file_in_another_encoding_differs(tmp_path: Path):
    connection = apsw.Connection(str(tmp_path / "wide.db"))
    connection.pragma("encoding", "UTF-16le")
    runner.up(connection)
    assert schema_differences(connection) == ["its texts are in UTF-16le, not in UTF-8"]


def test_names_that_would_move_a_terminal_are_shown_without_it(connection: apsw.Connection):
    runner.up(connection)
    connection.execute('CREATE TABLE "a\x1b[31m\nb" (a)')
    (found,) = schema_differences(connection)
    assert found == "table a [31m b does not belong there"


def test_many_differences_are_counted_and_some_named(connection: apsw.Connection):
    runner.up(connection)
    for number in range(50):
        connection.execute(f"CREATE TABLE spare_{number:02} (a)")
    with pytest.raises(SchemaDiffersError, match=r"spare_04 does not belong there; and 45 more$"):
        require_own_schema(connection, "a.db")


def test_the_migrations_of_a_newer_program_are_said_to_be_so(connection: apsw.Connection):
    runner.up(connection)
    connection.execute("INSERT INTO schema_migrations (migration_name, checksum) VALUES ('999_later', 'x')")
    with pytest.raises(MigrationError, match="999_later"):
        require_own_schema(connection, "a.db")


def test_a_trigger_does_nothing_even_where_nobody_compares(connection: apsw.Connection, tmp_path: Path):
    runner.up(connection)
    connection.close()
    tamper(tmp_path / "hyperpage.db", FORGED_SCHEMAS["a trigger"][0])
    writer = open_writer(tmp_path / "hyperpage.db")
    writer.execute("""INSERT INTO app_state (key, value, updated_at) VALUES ('theme', '"dark"', 1)""")
    assert writer.execute("SELECT value FROM app_state").get == '"dark"'
    with pytest.raises(apsw.SQLError, match="may not be modified"):
        writer.execute("PRAGMA writable_schema = on; UPDATE sqlite_schema SET sql = ''")
    writer.close()


def test_a_view_shows_nothing_even_where_nobody_compares(connection: apsw.Connection, tmp_path: Path):
    runner.up(connection)
    connection.close()
    tamper(tmp_path / "hyperpage.db", FORGED_SCHEMAS["a view"][0])
    reader = open_reader(tmp_path / "hyperpage.db")
    with pytest.raises(apsw.SQLError, match="view"):
        reader.execute("SELECT * FROM seen")
    reader.close()


def test_comparing_takes_a_moment(connection: apsw.Connection):
    runner.up(connection)
    schema_differences(connection)
    began = time.perf_counter()
    for _ in range(20):
        schema_differences(connection)
    # 0.6 ms each on a machine with two cores.
    assert (time.perf_counter() - began) / 20 < 0.05

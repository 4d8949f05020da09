"""Tables of aggregates that packages bring: made of their columns, and believed of no file."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import apsw
import msgspec
import pytest

from migrations import runner
from migrations.aggregate_tables import AggregateTable, Column, make_table, recorded_tables
from migrations.connection import open_memory, write_transaction
from migrations.schema import schema_differences

DOORS = AggregateTable(
    name="doors",
    columns=(
        Column(name="id", kind="TEXT"),
        Column(name="colour", kind="TEXT", may_be_null=True),
        Column(name="version", kind="INTEGER"),
        Column(name="position", kind="INTEGER"),
    ),
    indexed=("colour",),
    shape="1",
)
RECORD: dict[str, Any] = msgspec.to_builtins(DOORS)


@pytest.fixture
def store() -> Iterator[apsw.Connection]:
    with closing(open_memory()) as connection:
        runner.up(connection)
        with write_transaction(connection):
            make_table(connection, DOORS, 1)
        yield connection


def forge(store: apsw.Connection, name: str, definition: str) -> None:
    store.execute("UPDATE aggregate_tables SET name = ?, definition = ?", (name, definition))


def test_a_table_that_is_recorded_belongs_to_the_file(store: apsw.Connection):
    assert recorded_tables(store) == {"doors": DOORS}
    assert schema_differences(store) == []


def test_a_table_beside_its_record_or_a_record_without_its_table_is_found(store: apsw.Connection):
    store.execute("DELETE FROM aggregate_tables")
    assert schema_differences(store)[0] == "table doors does not belong there"

    store.execute("DROP TABLE doors")
    with write_transaction(store):
        make_table(store, DOORS, 1)
    store.execute("DROP INDEX idx_doors__colour")
    assert schema_differences(store) == ["index idx_doors__colour on doors is missing"]


def test_a_trigger_on_it_is_found(store: apsw.Connection):
    store.execute("CREATE TRIGGER evil AFTER INSERT ON doors BEGIN DELETE FROM jobs; END")

    assert schema_differences(store) == ["trigger evil on doors does not belong there"]


def changed(**of: Any) -> str:
    return msgspec.json.encode({**RECORD, **of}).decode()


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("doors", "no JSON"),
        ("doors", "[" * 30_000),
        ("doors", '{"name": "' + "x" * 100_000),
        ("other", changed()),
        ("jobs", changed(name="jobs")),
        ("doors); DROP TABLE jobs; --", changed(name="doors); DROP TABLE jobs; --")),
        ("doors", changed(columns=[*RECORD["columns"], {"name": "a TEXT); --", "kind": "TEXT"}])),
        ("doors", changed(columns=[*RECORD["columns"], {"name": "a", "kind": "TEXT DEFAULT (1)"}])),
        ("doors", changed(columns=RECORD["columns"] * 30)),
        ("doors", changed(indexed=["colour) WHERE (1"])),
        ("doors", changed(indexed=["colour"] * 11)),
        ("doors", changed(indexed=["version"])),
    ],
)
def test_a_record_that_this_program_did_not_write_is_no_record(
    store: apsw.Connection, name: str, definition: str
):
    forge(store, name, definition)

    assert schema_differences(store)
    assert store.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'jobs'").get == 1


def test_more_records_than_there_may_be_are_not_read(store: apsw.Connection):
    store.executemany(
        "INSERT INTO aggregate_tables VALUES (?, ?, '', 1)",
        [(f"t{number}", changed(name=f"t{number}", indexed=[])) for number in range(1_000)],
    )

    assert schema_differences(store) == ["its table aggregate_tables has what this program did not write"]


def test_reverting_takes_the_tables_along_and_leaves_a_file_as_it_was_before(store: apsw.Connection):
    assert runner.down(store, to="009_tracebacks")[-1] == "010_aggregate_tables"

    assert store.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'doors'").get == 0
    assert schema_differences(store) == []
    runner.up(store)
    assert schema_differences(store) == []

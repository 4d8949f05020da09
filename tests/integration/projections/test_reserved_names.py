"""Tables and columns of installed aggregates cannot have names that the store, a lake or SQL uses."""

import re
from contextlib import closing

import apsw
import duckdb
import pytest

from domain.installed.checking import TABLE_NAME
from domain.installed.reserved import KEYWORDS, RESERVED, RESERVED_BEGINNINGS, RESERVED_ENDINGS
from migrations import runner
from migrations.connection import open_memory
from ops.console.rendering import PREFIX
from ops.console.routes import ROUTES
from projections.tables import TABLE_COLUMNS
from tests.support.repository import ROOT


def is_taken(name: str) -> bool:
    return (
        name in RESERVED
        or name in TABLE_COLUMNS
        or name.startswith(RESERVED_BEGINNINGS)
        or name.endswith(RESERVED_ENDINGS)
    )


def test_every_object_of_the_store_has_a_name_that_is_taken():
    with closing(open_memory()) as connection:
        runner.up(connection)
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema")]

    assert names
    assert [name for name in names if not is_taken(name)] == []


def test_every_page_of_the_console_has_a_name_that_is_taken():
    paths = [entry.path.removeprefix(PREFIX).split("/") for entry in ROUTES if entry.path.startswith(PREFIX)]
    names = {path[1] for path in paths if len(path) > 1 and not path[1].startswith("{")}

    assert len(names) > 10
    assert [name for name in names if not is_taken(name)] == []


def test_every_view_and_macro_of_a_lake_has_a_name_that_is_taken():
    folder = ROOT / "ops" / "analytics" / "lake"
    text = "".join(
        path.read_text(encoding="utf-8") for path in folder.iterdir() if path.suffix in (".sql", ".py")
    )
    names = set(re.findall(r"(?:VIEW|MACRO) ([a-z_]+)\b", text))

    assert {"attempts", "config_audit"} <= names
    # A macro that returns a value is no table: a table may have its name.
    tables = set(re.findall(r"VIEW ([a-z_]+)\b|MACRO ([a-z_]+)\([^)]*\) AS TABLE", text))
    assert [name for pair in tables for name in pair if name and not is_taken(name)] == []


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_a_word_that_cannot_stand_where_a_name_does_is_none(engine: str):
    words = {word.lower() for word in apsw.keywords}
    words |= {row[0] for row in duckdb.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()}
    others = [word for word in sorted(words - KEYWORDS) if TABLE_NAME.fullmatch(word)]
    assert len(others) > 100

    if engine == "sqlite":
        with closing(apsw.Connection(":memory:")) as connection:
            for word in others:
                connection.execute(f"CREATE TABLE {word} (id TEXT PRIMARY KEY, {word} TEXT NOT NULL)")
                connection.execute(f"CREATE INDEX idx_{word}_{word} ON {word}({word})")
                connection.execute(
                    f"INSERT INTO {word} (id, {word}) VALUES ('1', '2') ON CONFLICT (id)"
                    f" DO UPDATE SET {word} = excluded.{word}"
                )
                read = f"SELECT {word} FROM {word} WHERE {word} = ? ORDER BY {word}"
                assert connection.execute(read, ("2",)).get == "2", word
        return
    with duckdb.connect() as lake:
        for word in others:
            lake.execute(f"CREATE VIEW {word} AS SELECT 1 AS {word}")
            lake.execute(f"CREATE MACRO {word}_at(moment) AS TABLE SELECT {word} FROM {word}")
            read = f"SELECT {word} FROM {word} WHERE {word} = 1 GROUP BY {word} ORDER BY {word}"
            assert lake.execute(read).fetchall() == [(1,)], word

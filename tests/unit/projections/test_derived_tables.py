"""A table follows from a decider and a struct of its rows."""

from collections.abc import Callable
from contextlib import closing
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import apsw
import msgspec
import pytest

from domain.installed.error import AggregateError
from migrations.aggregate_tables import AggregateTable
from projections.derived import table_of
from projections.reading import count_rows, get_row, list_rows
from projections.table import Row, Table, as_json, write_rows
from tests.support.domain.doors import door


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A door, and who may pass."""

    id: str
    is_open: bool
    colour: Literal["red", "green"] | None = None
    width: float = 0.9
    guests: list[str] = []


class DoorRow(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    count: int
    version: int
    position: int


def table(**changed: Any) -> Table:
    return table_of(door(state=Door), **{"filters": ("colour", "is_open"), **changed})


def rows_of(made: Table, *states: Any) -> dict[str, Row | None]:
    return {one.id: made.row(one, 3, 40 + place) for place, one in enumerate(states)}


def stored(made: Table, *states: Any) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    definition = AggregateTable(name=made.name, columns=made.columns_made, indexed=made.indexed)
    for statement in definition.statements():
        connection.execute(statement)
    write_rows(connection, made, rows_of(made, *states))
    return connection


def test_a_row_has_the_fields_of_the_state_and_where_it_stands():
    made = table()

    assert made.columns == ("id", "is_open", "colour", "width", "guests", "version", "position")
    assert made.row(Door(id="front", is_open=True, guests=["ann"]), 3, 41) == (
        *("front", True, None, 0.9, '["ann"]', 3, 41),
    )


def test_what_is_counted_by_is_asked_of_counts_alone():
    made = table()

    assert "by" in made.count_query.__struct_fields__
    assert made.list_query.__struct_fields__ == ("prefix", "colour", "is_open", "limit", "after")


def test_rows_are_read_listed_and_counted_as_others_are():
    made = table()
    with closing(
        stored(made, Door(id="a", is_open=True), Door(id="b", is_open=False, colour="red"))
    ) as store:
        row = get_row(store, made, "b")
        page = list_rows(store, made, made.list_query(is_open=True), now=0, maximum_bytes=10_000)
        count = count_rows(store, made, made.count_query(by="colour"), now=0)

    assert row == (
        b'{"id":"b","is_open":false,"colour":"red","width":0.9,"guests":[],"version":3,"position":41}'
    )
    assert [one["id"] for one in msgspec.json.decode(page)["items"]] == ["a"]
    assert msgspec.json.decode(count)["groups"] == [
        {"value": None, "count": 1},
        {"value": "red", "count": 1},
    ]


def test_rows_may_be_made_by_a_function_of_the_authors():
    made = table_of(
        door(state=Door),
        DoorRow,
        row=lambda state, version, position: (state.id, len(state.guests), version, position),
    )

    assert as_json(made, made.row(Door(id="a", is_open=True, guests=["ann"]), 1, 2) or ()) == (
        b'{"name":"a","count":1,"version":1,"position":2}'
    )


def test_a_row_that_does_not_fit_is_known():
    made = table()

    def misfit(*row: Any) -> str | None:
        return made.misfit(row, "a", 1, 2)

    assert misfit("a", True, None, 0.9, "[]", 1, 2) is None
    assert misfit("a", True, None, 0.9, "[]", 1) == "it has 6 values for 7 columns"
    assert misfit(1, True, None, 0.9, "[]", 1, 2) == "id is TEXT and gets int"
    assert misfit("a", None, None, 0.9, "[]", 1, 2) == "is_open is INTEGER and gets NoneType"
    # A value that SQLite cannot store would fail the other commands of the transaction, too.
    assert misfit("a", 2**63, None, 0.9, "[]", 1, 2) == "is_open is INTEGER and gets int"
    assert misfit("a", True, None, float("nan"), "[]", 1, 2) == "width is REAL and gets float"
    assert misfit("a", True, "\ud800", 0.9, "[]", 1, 2) == "colour is TEXT and gets str"
    assert misfit("b", True, None, 0.9, "[]", 1, 2) == "id is not the aggregate's own"
    assert misfit("a", True, None, 0.9, "[]", 1, 3) == "position is not the aggregate's own"


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    mark: Literal["a", "b", None] = None
    size: Annotated[Literal[None, 1, 2], msgspec.Meta(description="how large")] = None
    mixed: Literal["a", 1] = 1
    mixed_or_none: Literal["a", True, None] = None


def test_literals_are_columns_of_their_kind_and_those_of_several_kinds_are_json():
    made = table_of(door(state=Marked), filters=("mark", "size"))

    assert [(one.name, one.kind, one.may_be_null) for one in made.columns_made[:5]] == [
        ("id", "TEXT", False),
        ("mark", "TEXT", True),
        ("size", "INTEGER", True),
        ("mixed", "TEXT", False),
        ("mixed_or_none", "TEXT", True),
    ]
    with closing(
        stored(
            made,
            Marked(id="a"),
            Marked(id="b", mark="b", size=2, mixed="a", mixed_or_none=True),
        )
    ) as store:
        rows = [msgspec.json.decode(get_row(store, made, key) or b"") for key in ("a", "b")]
    assert [list(row.values())[1:5] for row in rows] == [[None, None, 1, None], ["b", 2, "a", True]]
    with pytest.raises(AggregateError, match="mixed holds no single values to filter by"):
        table_of(door(state=Marked), filters=("mixed",))


class NoPosition(msgspec.Struct):
    id: str
    width: float
    version: int


class KeyOfTime(msgspec.Struct):
    time: str
    version: int
    position: int


class NumberAsKey(msgspec.Struct):
    width: float
    version: int
    position: int


class Keyword(msgspec.Struct):
    id: str
    group: str
    version: int
    position: int


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: table_of(door(state=Door), NoPosition), "it has no `version` and `position`"),
        (lambda: table_of(door(state=Door), NumberAsKey), "its first field is no text, as a key is"),
        (lambda: table_of(door(state=Door), Keyword), "group is no name of a column"),
        (lambda: table_of(door(state=Door), DoorRow), "the state has no name"),
        (lambda: table(filters=("height",)), "it has no column height to filter by"),
        (lambda: table(filters=("position",)), "position is what every list is asked with"),
        (lambda: table_of(door(state=Door), KeyOfTime), "its first field, the key, is called"),
        (lambda: table(filters=("guests",)), "guests holds no single values to filter by"),
    ],
)
def test_a_struct_that_makes_no_table_is_refused(make: Callable[[], Table], reason: str):
    with pytest.raises(AggregateError, match=f"the struct .* makes no table: {reason}"):
        make()


def test_rows_that_expire_need_a_verb_that_ends_them():
    with pytest.raises(AggregateError, match="rows cannot expire by width"):
        table(expiry="width")


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    total: Decimal
    due_on: date | None = None
    parts: list[Decimal] = []


def test_what_json_has_as_a_text_is_that_text_in_its_column_and_is_shown_as_before():
    made = table_of(door(state=Bill))
    bill = Bill(id="b1", total=Decimal("1.50"), due_on=date(2027, 1, 31), parts=[Decimal("1.50")])

    connection = stored(made, bill)

    row = made.row(bill, 3, 40)
    assert row == ("b1", "1.50", "2027-01-31", '["1.50"]', 3, 40)
    assert connection.execute("SELECT CAST(total AS REAL) * 2 FROM doors").get == 3.0
    assert get_row(connection, made, "b1") == (
        b'{"id":"b1","total":"1.50","due_on":"2027-01-31","parts":["1.50"],"version":3,"position":40}'
    )


def test_a_row_function_may_answer_with_such_values_as_they_are():
    class BillRow(msgspec.Struct):
        id: str
        total: Decimal
        version: int
        position: int

    def row(state: Bill, version: int, position: int) -> Row:
        return state.id, state.total, version, position

    made = table_of(door(state=Bill), BillRow, row=row)

    assert made.row(Bill(id="b1", total=Decimal("2.0")), 1, 2) == ("b1", "2.0", 1, 2)

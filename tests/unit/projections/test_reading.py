"""Pages of rows that filters leave."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrations.aggregate_tables import AggregateTable
from projections import reading
from projections.derived import table_of
from projections.table import Table, write_rows
from tests.support.domain.doors import door


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """A gate, which is of a colour."""

    id: str
    colour: str


GATES: Table = table_of(door(state=Gate), filters=("colour",))


@contextmanager
def stored(gates: dict[str, str]) -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as connection:
        made = AggregateTable(name=GATES.name, columns=GATES.columns_made, indexed=("colour",))
        for statement in made.statements():
            connection.execute(statement)
        rows = {key: GATES.row(Gate(id=key, colour=colour), 1, 1) for key, colour in gates.items()}
        write_rows(connection, GATES, rows)
        yield connection


def page(connection: apsw.Connection, **query: Any) -> tuple[list[str], str | None]:
    keys: tuple[str, ...] = query.pop("keys", ())
    answer = reading.list_rows(
        connection, GATES, GATES.list_query(**query), now=0, maximum_bytes=100_000, keys=keys
    )
    decoded = msgspec.json.decode(answer)
    return [item["id"] for item in decoded["items"]], decoded["next"]


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.sampled_from(["red", "green"])),
    st.sampled_from([None, "red", "blue"]),
    st.sampled_from([None, "", "a", "b"]),
    st.sampled_from([(), ("a", "c")]),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_pages_have_each_row_that_the_filters_leave_once_and_in_order(
    gates: dict[str, str],
    colour: str | None,
    prefix: str | None,
    keys: tuple[str, ...],
    limit: int,
    looked_at: int,
):
    found: list[str] = []
    after: str | None = None
    with pytest.MonkeyPatch.context() as patched, stored(gates) as connection:
        patched.setattr(reading, "ROWS_LOOKED_AT", looked_at)
        while True:
            ids, after = page(connection, colour=colour, prefix=prefix, keys=keys, limit=limit, after=after)
            found += ids
            if after is None:
                break

    assert found == sorted(
        key
        for key, its_colour in gates.items()
        if colour in (None, its_colour) and key.startswith(prefix or "") and key.startswith(keys or "")
    )


def test_a_page_of_what_is_frequent_takes_no_longer_in_a_larger_table():
    def steps(rows: int) -> int:
        taken = 0

        def step() -> bool:
            nonlocal taken
            taken += 1
            return False

        with stored({f"{place:06}": "red" for place in range(rows)}) as connection:
            connection.set_progress_handler(step, 10)
            ids, _ = page(connection, colour="red", limit=20, after=f"{rows // 2:06}")
        assert len(ids) == 20
        return taken

    assert steps(10_000) <= 1.2 * steps(2_000)


def test_what_is_rare_is_found_by_its_index():
    gates = {f"{place:06}": "red" for place in range(5_000)} | {"004999": "green"}
    with stored(gates) as connection:
        assert page(connection, colour="green", limit=20) == (["004999"], None)

"""The laws of the hash chain: appended rows verify, and any later change is found."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bus.log import chain
from tests.support.stores.looking_inside import read_after
from tests.support.stores.migrated import migrated_memory

NUMBERS = st.integers(-(2**63), 2**63 - 1)
TIMES = st.integers(0, 2**48)
TEXTS = st.none() | st.text()
CONTENTS = st.none() | st.text() | st.binary()

# Values of every kind that the column can hold; `data` can hold more kinds than the log writes.
OTHER_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "position": NUMBERS,
    "stream": st.text(),
    "version": NUMBERS,
    "type": st.text(),
    "recorded_at": NUMBERS,
    "command_id": TEXTS,
    "data": CONTENTS | NUMBERS | st.floats(allow_nan=False),
    "metadata": TEXTS,
    "hash": st.binary(min_size=32, max_size=32),
}


@st.composite
def batches(draw: st.DrawFn, minimum: int = 0) -> list[tuple[int, list[chain.Entry]]]:
    """A history of appends: the time of each, and its entries; at least `minimum` of them in all."""
    versions: dict[str, int] = {}

    def entry(stream: str) -> chain.Entry:
        versions[stream] = versions.get(stream, 0) + 1
        return chain.Entry(
            stream, versions[stream], draw(st.text()), draw(TEXTS), draw(CONTENTS), draw(TEXTS)
        )

    streams = st.lists(st.sampled_from(["jobs/a", "jobs/b", "app_state/ü"]), max_size=4)
    appended = [(draw(TIMES), draw(streams)) for _ in range(draw(st.integers(0, 4)))]
    missing = minimum - sum(len(names) for _, names in appended)
    appended.append((draw(TIMES), ["jobs/c"] * max(missing, 0)))
    return [(now, [entry(stream) for stream in names]) for now, names in appended]


@contextmanager
def written(appended: list[tuple[int, list[chain.Entry]]]) -> Iterator[tuple[apsw.Connection, chain.Head]]:
    """A database with that history, and the head that the appends led to."""
    connection = migrated_memory()
    head = chain.Head()
    for now, entries in appended:
        rows, head = chain.extend(head, entries, now)
        chain.insert(connection, rows)
    yield connection, head
    connection.close()


@given(batches())
def test_what_was_appended_verifies_up_to_the_head(appended: list[tuple[int, list[chain.Entry]]]):
    with written(appended) as (connection, head):
        assert chain.verify_chain(connection) == head == chain.read_head(connection)


@given(batches())
def test_positions_have_no_gap_and_the_time_never_goes_back(appended: list[tuple[int, list[chain.Entry]]]):
    with written(appended) as (connection, head):
        rows = read_after(connection, 0, limit=1_000)

    assert [row.position for row in rows] == list(range(1, head.position + 1))
    times = [row.recorded_at for row in rows]
    assert times == sorted(times)
    latest = -1
    expected = []
    for now, entries in appended:
        latest = max(latest, now) if entries else latest
        expected += [latest] * len(entries)
    assert times == expected


@given(batches(), st.data())
def test_appending_at_once_or_in_pieces_gives_the_same_chain(
    appended: list[tuple[int, list[chain.Entry]]], data: st.DataObject
):
    entries = [entry for _, several in appended for entry in several]
    cut = data.draw(st.integers(0, len(entries)))

    whole, head = chain.extend(chain.Head(), entries, now=7)
    first, middle = chain.extend(chain.Head(), entries[:cut], now=7)
    second, end = chain.extend(middle, entries[cut:], now=7)

    assert (first + second, end) == (whole, head)


@given(batches(minimum=1), st.sampled_from(list(OTHER_VALUES)), st.data())
def test_a_changed_column_is_found(
    appended: list[tuple[int, list[chain.Entry]]], column: str, data: st.DataObject
):
    with written(appended) as (connection, head):
        position = data.draw(st.integers(1, head.position))
        value = data.draw(OTHER_VALUES[column])
        try:
            connection.execute(f"UPDATE events SET {column} = ? WHERE position = ?", (value, position))
        except apsw.ConstraintError:
            # Another row has this value: the table refuses it.
            assume(False)
        changed = connection.execute("SELECT * FROM events ORDER BY rowid").fetchall()
        assume(changed != [msgspec.structs.astuple(row) for row in rows_of(appended)])

        found = broken_at(connection)

    # A row that was moved before the first is found at its new place, any other at its old one.
    assert found == (value if column == "position" and value < 1 else position)


@given(batches(minimum=1), st.data())
def test_a_dropped_row_is_found(appended: list[tuple[int, list[chain.Entry]]], data: st.DataObject):
    with written(appended) as (connection, head):
        position = data.draw(st.integers(1, head.position))
        connection.execute("DELETE FROM events WHERE position = ?", (position,))

        if position < head.position:
            assert broken_at(connection) == position
        else:
            # The rest of the chain is whole, but ends before the known head.
            assert chain.verify_chain(connection) != head


@given(batches(minimum=2), st.data())
def test_swapped_rows_are_found(appended: list[tuple[int, list[chain.Entry]]], data: st.DataObject):
    with written(appended) as (connection, head):
        first, second = sorted(
            data.draw(st.lists(st.integers(1, head.position), min_size=2, max_size=2, unique=True))
        )
        rows = rows_of(appended)
        connection.execute("DELETE FROM events WHERE position IN (?, ?)", (first, second))
        chain.insert(
            connection,
            [
                msgspec.structs.replace(rows[first - 1], position=second),
                msgspec.structs.replace(rows[second - 1], position=first),
            ],
        )

        assert broken_at(connection) == first


@given(batches(minimum=2), st.data())
def test_a_chain_that_was_computed_anew_has_another_head(
    appended: list[tuple[int, list[chain.Entry]]], data: st.DataObject
):
    entries = [entry for _, several in appended for entry in several]
    index = data.draw(st.integers(0, len(entries) - 1))
    forged = [*entries]
    forged[index] = msgspec.structs.replace(forged[index], type=forged[index].type + "!")

    assert chain.extend(chain.Head(), entries, 1)[1].hash != chain.extend(chain.Head(), forged, 1)[1].hash


@given(batches(), st.data())
def test_verifying_may_go_on_from_a_head_that_was_verified_before(
    appended: list[tuple[int, list[chain.Entry]]], data: st.DataObject
):
    with written(appended) as (connection, head):
        row = chain.read_at(connection, data.draw(st.integers(0, head.position)))
        start = chain.Head() if row is None else chain.Head(row.position, row.hash, row.recorded_at)

        assert chain.verify_chain(connection, start) == head


@pytest.mark.parametrize("column", ["stream", "type", "command_id", "data", "metadata"])
def test_a_text_that_is_no_longer_utf_8_is_found(column: str):
    entry = chain.Entry("jobs/a", 1, "job.enqueued.v1", "id", "{}", "{}")
    with written([(1, [entry, msgspec.structs.replace(entry, version=2)])]) as (connection, _):
        connection.execute(f"UPDATE events SET {column} = CAST(x'7bff7d' AS TEXT) WHERE position = 2")

        assert broken_at(connection) == 2


@given(batches())
def test_the_hashes_follow_the_documented_layout(appended: list[tuple[int, list[chain.Entry]]]):
    previous = bytes(32)
    for row in rows_of(appended):
        previous = hash_as_documented(previous, msgspec.structs.astuple(row)[:-1])

        assert row.hash == previous


def test_the_layout_stays_what_it_was():
    entries = [
        chain.Entry("jobs/9f1c", 1, "job.enqueued.v1", "018f-1", '{"name":"Übung"}', '{"actor":"cron"}'),
        chain.Entry("tool_configs/git", 12, "tool_config.set.v1", None, b"\x00\xff", None),
    ]

    _, head = chain.extend(chain.Head(), entries, 1_700_000_000_000)

    # Backups, archives and followers keep hashes: a layout that changed would find all of them broken.
    assert head.hash.hex() == "1df14833a90120d6aa92361e251ee2f00b1c8b0cfe54b0d6b1a89fe1887d17f9"


def hash_as_documented(previous: bytes, columns: tuple[Any, ...]) -> bytes:
    """SHA-256 of the previous hash and then, column by column: type byte, length as big-endian u64, bytes."""
    hashed = bytearray(previous)
    for value in columns:
        match value:
            case None:
                kind, content = b"N", b""
            case int():
                kind, content = b"I", str(value).encode("ascii")
            case str():
                kind, content = b"T", value.encode("utf-8")
            case _:
                kind, content = b"B", value
        hashed += kind + len(content).to_bytes(8, "big") + content
    return sha256(hashed).digest()


def rows_of(appended: list[tuple[int, list[chain.Entry]]]) -> list[chain.Row]:
    """The rows that a history of appends led to."""
    head = chain.Head()
    rows: list[chain.Row] = []
    for now, entries in appended:
        added, head = chain.extend(head, entries, now)
        rows += added
    return rows


def broken_at(connection: apsw.Connection) -> int:
    with pytest.raises(chain.BrokenChainError) as broken:
        chain.verify_chain(connection)
    return broken.value.position

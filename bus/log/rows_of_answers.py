"""Remembered answers, read from a file that may be damaged, and kept in another one with the same events."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import apsw

from bus.log import chain
from bus.log.answers import UNREADABLE, each_answer, is_json, last_number, without_owner
from migrations.command_ids import id_hash
from migrations.rows import insert_rows

# No row is smaller: the hash of its request alone has 32 bytes.
_LEAST_ROW_BYTES = 40
# A page has no more rows than this, so one damaged page cannot make more of them wrong one after the other.
_ROWS_OF_A_PAGE = 128


def read_last_rows(connection: apsw.Connection, first: int) -> Iterator[tuple[Any, ...]]:
    """The rows of answers from a position on, the last one first, as they are kept; for `take_over_rows`.

    Rows that cannot be read are passed over, so the file may be damaged. The rows may have any values.
    """
    number, highest, before = -1, 0, 0
    with suppress(*UNREADABLE):
        number = last_number(connection)
        # Numbers have no gaps: a number above what the file has room for is damaged.
        highest = connection.pragma("page_count") * connection.pragma("page_size") // _LEAST_ROW_BYTES
    while number > 0 and before <= _ROWS_OF_A_PAGE:
        try:
            row = connection.execute(
                "SELECT command_id, request_hash, position, answer, events, id_hash, number"
                " FROM command_answers WHERE number <= ? ORDER BY number DESC LIMIT 1",
                (number,),
            ).fetchone()
        except UNREADABLE:
            number = min(number - 1, highest)
            continue
        if row is None:
            return
        *kept, found = row
        # If the order is damaged, the number goes down all the same.
        number = min(number, found) - 1
        if not isinstance(kept[2], int):
            continue
        # A damaged page may have wrong positions, so this ends only when more rows than a page has, one after
        # the other, are before `first`.
        before = before + 1 if kept[2] < first else 0
        if before == 0:
            yield tuple(kept)


def take_over_rows(connection: apsw.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Keeps answers of another file with the same events, to ids that have none yet. The ids are indexed.

    Rows that are not whole, or whose position is after the end of the log, are passed over.
    """
    for row in rows:
        known = connection.execute(
            "SELECT 1 FROM command_ids JOIN command_answers USING (number)"
            " WHERE command_ids.id_hash = ? AND position = ?",
            (row[5], row[2]),
        ).get
        if known is None:
            _take_over(connection, row)


def _take_over(connection: apsw.Connection, row: tuple[Any, ...]) -> None:
    """Keeps a row, if it is whole."""
    try:
        insert_rows(
            connection,
            "INSERT INTO command_answers (command_id, request_hash, position, answer, events, id_hash)",
            [row],
        )
    except apsw.ConstraintError:
        # A value is not of its column's type.
        return
    number = last_number(connection)
    try:
        (answer,) = each_answer(connection, row[2], number=number)
        is_whole = row[2] <= chain.read_head(connection).position and is_json(answer.answer)
        is_whole = is_whole and id_hash(without_owner(answer.command_id)) == row[5]
    except (*UNREADABLE, ValueError):
        is_whole = False
    if is_whole:
        connection.execute("INSERT INTO command_ids VALUES (?, ?)", (row[5], number))
    else:
        connection.execute("DELETE FROM command_answers WHERE number = ?", (number,))

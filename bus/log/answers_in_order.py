"""Answers in the order in which they were remembered, which their numbers say: `number_at`, `read_behind`.

One is replaced where a log has another one: `replace_answer`.
"""

from collections.abc import Iterator

import apsw

from bus.contract.codec import OWNED_BY
from bus.log.answers import ID, SELECT, Answer, answer_of
from migrations.command_ids import id_hash


def number_at(connection: apsw.Connection, position: int, last_id: str | None) -> int:
    """The number of the last answer before a position, or of that to `last_id` where that is behind it."""
    for number, command_id, answered_at in connection.execute(
        f"SELECT number, {ID}, kept.position FROM command_answers AS kept ORDER BY number DESC"
    ):
        if answered_at < position or command_id == last_id:
            return int(number)
    return 0


def read_behind(connection: apsw.Connection, number: int, position: int) -> Iterator[tuple[int, Answer, int]]:
    """What was remembered behind an answer of that number, up to a position, in that order.

    Each comes with its number, and how many events say all of it, as `remember` takes it.

    Raises:
        LostAnswerError: the log lacks the events of one.
    """
    for row in connection.execute(f"{SELECT} WHERE number > ? ORDER BY number", (number,)):
        if row[2] > position:
            return
        yield row[5], answer_of(row), row[4]


def replace_answer(connection: apsw.Connection, own: Answer, theirs: Answer) -> None:
    """Has another answer to an id in the place of one that `Answers` of this connection remember.

    It keeps its number. It is part of the caller's transaction.
    """
    connection.execute(
        "UPDATE command_answers"
        " SET command_id = ?1, request_hash = ?2, position = ?3, answer = ?4, events = 0"
        " WHERE number = (SELECT number FROM command_answers AS kept WHERE number IN ("
        " SELECT number FROM command_ids WHERE id_hash = ?5"
        " UNION SELECT number FROM waiting_ids WHERE id_hash = ?5)"
        f" AND position = ?6 AND {ID} = ?1)",
        (*theirs, id_hash(own.command_id.partition(OWNED_BY)[0]), own.position),
    )

"""Answers in the order in which they were remembered, by their numbers: `number_at`, `read_behind`.

`replace_answer` replaces an answer if a log has another one.
"""

from collections.abc import Iterator

import apsw

from bus.contract.codec import OWNED_BY
from bus.log.answers import ID, SELECT, Answer, answer_of
from migrations.command_ids import id_hash


def number_at(connection: apsw.Connection, position: int, last_id: str | None) -> int:
    """The number of the last answer before a position, or of the answer to `last_id`, if that is later."""
    for number, command_id, answered_at in connection.execute(
        f"SELECT number, {ID}, kept.position FROM command_answers AS kept ORDER BY number DESC"
    ):
        if answered_at < position or command_id == last_id:
            return int(number)
    return 0


def read_behind(connection: apsw.Connection, number: int, position: int) -> Iterator[tuple[int, Answer, int]]:
    """The answers that were remembered after that number, up to a position, in that order.

    Each comes with its number, and with the number of events as `remember` takes it.

    Raises:
        LostAnswerError: the log lacks the events of one.
    """
    for row in connection.execute(f"{SELECT} WHERE number > ? ORDER BY number", (number,)):
        if row[2] > position:
            return
        yield row[5], answer_of(row), row[4]


def replace_answer(connection: apsw.Connection, own: Answer, theirs: Answer) -> None:
    """Replaces an answer that the `Answers` of this connection remember by another one to the same id.

    The answer keeps its number. The change is part of the caller's transaction.
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

"""Answers in the order in which they were remembered, which their numbers say: `number_at`, `read_behind`."""

from collections.abc import Iterator

import apsw

from bus.log.answers import ID, SELECT, Answer, answer_of


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

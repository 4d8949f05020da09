"""The answers that are remembered: the same command id gets the same bytes, for ever.

Most answers say only what the log says, too: they are told again from it, and take a fifth of the room.

Command ids may be random UUIDs. In an index, each new one would touch a page of its own, and to write a page
costs a commit a third of all else that the writer does for a command. So new ids wait in a temporary table,
and move into `command_ids` many at a time, in the order of their hashes, so that they share pages. This is a
sweep from the lowest hash to the highest, which then begins again. Ids that still wait when the process ends
are found by the numbers of their answers.
"""

import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apsw
import msgspec

from bus.contract.codec import OWNED_BY
from bus.log import chain
from hyperpage_client.documents import decoded
from migrations.command_ids import id_hash
from migrations.rows import insert_rows

# How many ids wait at least, and how many move at once. With a million answers, a page gets 14 at a time.
WAITING_IDS = 65_536
STRIDE = 1_024
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
# Text that JSON writes without escapes. Keys and the names of event types are always such text.
_PLAIN = re.compile(r"[ !#-\[\]-~]*")

# SQL for the command id of a row of `command_answers` that is named `kept`.
ID = "coalesce(kept.command_id, (SELECT command_id FROM events WHERE events.position = kept.position))"
# This form must never change: an answer that is told again must have the same bytes.
_FROM_THE_LOG = """(
    SELECT '{"command_id":"' || last.command_id || '","stream":"' || stream || '","version":' || version
    || ',"position":' || last.position || ',"timeline":'
    || (SELECT max(timeline) FROM timelines WHERE first_position <= last.position)
    || ',"events":[' || (
      SELECT group_concat('"' || type || '"', ',' ORDER BY position) FROM events
      WHERE position > last.position - kept.events AND position <= last.position
    ) || '],"result":null}'
    FROM events AS last WHERE last.position = kept.position AND kept.events > 0
)"""
SELECT = (
    f"SELECT {ID}, request_hash, kept.position, coalesce(answer, {_FROM_THE_LOG}),"
    " iif(answer ISNULL, kept.events, 0), number FROM command_answers AS kept"
)
# The waiting ids, on a connection that cannot have a temporary table.
_TAIL = (
    "SELECT number FROM command_answers WHERE number > (SELECT max(up_to) FROM command_ids_made)"
    " AND id_hash IN (SELECT value FROM carray(?1))"
)
_MAKE_WAITING = (
    "CREATE TEMP TABLE IF NOT EXISTS waiting_ids"
    " (id_hash INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (id_hash, number)) WITHOUT ROWID;"
    " DELETE FROM waiting_ids;"
    " INSERT INTO waiting_ids SELECT id_hash, number FROM command_answers"
    " WHERE number > (SELECT max(up_to) FROM command_ids_made) ORDER BY 1, 2"
)


class Answer(NamedTuple):
    """An answer to a command id (with its owner, see `OWNED_BY`) and a request, and the log's end with it."""

    command_id: str
    request_hash: bytes
    position: int
    answer: str


class LostAnswerError(RuntimeError):
    """The log lacks the events that an answer is told from."""


# What reading a damaged file may raise.
UNREADABLE = (apsw.Error, UnicodeDecodeError, LostAnswerError)


class _Sweep(NamedTuple):
    """How many ids wait, and the hash from which on the next ones move."""

    waiting: int
    reached: int
    last_number: int
    """The last answer."""
    begun_after: int
    """The last answer when the sweep began."""


class Answers:
    """The remembered answers of a store, for the thread that writes; transactions are the caller's.

    Each transaction has one `remember`. `settle` follows once it is on disk; nothing follows if it failed. On
    a connection that may not write, answers can only be recalled.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._waiting = _TAIL
        waiting = 0
        if not connection.readonly("main"):
            connection.execute(_MAKE_WAITING)
            self._waiting = "SELECT number FROM carray(?1) CROSS JOIN waiting_ids ON id_hash = value"
            waiting = connection.execute("SELECT count(*) FROM waiting_ids").get
        last = last_number(connection)
        self._sweep = self._next = _Sweep(waiting, _LOWEST, last, last)

    def recall(self, command_ids: Collection[str]) -> dict[str, Answer]:
        """The remembered answers to these ids, by id.

        Raises:
            LostAnswerError: the log lacks events.
        """
        numbers = _numbers(self._connection, command_ids, f"UNION {self._waiting}")
        if not numbers:
            return {}
        found = _read(self._connection, "number IN (SELECT value FROM carray(?))", _integers(numbers))
        return {one.command_id: one for one in found if one.command_id in command_ids}

    def remember(self, answers: Iterable[tuple[Answer, int]]) -> None:
        """Keeps answers to ids that have none yet, each with how many events its command led to.

        That number is 0 if an answer says more than its events.
        """
        waiting, reached, number, begun_after = self._sweep
        rows: list[tuple[Any, ...]] = []
        ids = []
        for (command_id, request_hash, position, answer), events in answers:
            plain, _, owner = command_id.partition(OWNED_BY)
            number += 1
            ids.append((id_hash(plain), number))
            if events and _PLAIN.fullmatch(plain):
                told_id = command_id if owner else None
                rows.append((told_id, request_hash, position, None, events, *ids[-1]))
            else:
                rows.append((command_id, request_hash, position, answer, 0, *ids[-1]))
        insert_rows(self._connection, "INSERT INTO command_answers", rows)
        insert_rows(self._connection, "INSERT INTO waiting_ids", ids)
        self._next = _Sweep(waiting + len(ids), reached, number, begun_after)
        # A group of batches may bring more than one stride takes.
        while self._next.waiting >= WAITING_IDS + STRIDE:
            self._next = self._go_over(self._next)

    def are_stored(self) -> bool:
        """Whether the last `remember` had answers, and they are stored; asked outside of a transaction."""
        number = self._next.last_number
        return number > self._sweep.last_number and number == last_number(self._connection)

    def settle(self) -> None:
        """Notes that the answers of the last `remember` are on disk."""
        self._sweep = self._next

    def _go_over(self, sweep: _Sweep) -> _Sweep:
        execute = self._connection.execute
        first = sweep.reached
        last = execute(
            "SELECT id_hash FROM waiting_ids WHERE id_hash >= ? ORDER BY id_hash LIMIT 1 OFFSET ?",
            (first, STRIDE - 1),
        ).get
        end = _HIGHEST if last is None else last
        execute(
            "INSERT OR IGNORE INTO command_ids SELECT * FROM waiting_ids WHERE id_hash BETWEEN ? AND ?",
            (first, end),
        )
        execute("DELETE FROM waiting_ids WHERE id_hash BETWEEN ? AND ?", (first, end))
        waiting = sweep.waiting - self._connection.changes()
        if end < _HIGHEST:
            return sweep._replace(waiting=waiting, reached=end + 1)
        # All ids that waited when the sweep began have moved.
        execute("UPDATE command_ids_made SET up_to = ?", (sweep.begun_after,))
        return _Sweep(waiting, _LOWEST, sweep.last_number, sweep.last_number)


def read_answers(
    connection: apsw.Connection, first: int, last: int | None = None, number: int = 0
) -> list[Answer]:
    """The answers from a position on, up to another one or to the end; `number`: see `first_number`.

    Raises:
        LostAnswerError: the log lacks the events of one.
    """
    return list(each_answer(connection, first, last, number))


def each_answer(
    connection: apsw.Connection, first: int, last: int | None = None, number: int = 0
) -> Iterator[Answer]:
    """The same, one by one: the answers of a long part of the log take much memory together."""
    where = "number >= ? AND position >= ? AND position <= ?"
    return _read(connection, where, number, first, chain.or_last(last))


def first_number(connection: apsw.Connection, position: int, known: int = 0) -> int:
    """The number below which no answer is at a position or after it; `known`: that of an earlier position."""
    found = connection.execute(
        "SELECT number FROM command_answers WHERE number >= ? AND position >= ? ORDER BY number LIMIT 1",
        (known, position),
    ).get
    return known if found is None else found


def last_number(connection: apsw.Connection) -> int:
    """The number of the answer that was remembered last; 0 if there is none."""
    number: int = connection.execute("SELECT coalesce(max(number), 0) FROM command_answers").get
    return number


def positions_of(connection: apsw.Connection, command_id: str, limit: int) -> list[int]:
    """The positions at which commands of an id were answered, of any owner."""
    if "\0" in command_id:
        return []  # No command has such an id.
    found = connection.execute(
        "SELECT position FROM command_answers AS kept WHERE number IN ("
        " SELECT number FROM command_ids WHERE id_hash = ?1 UNION SELECT number FROM command_answers"
        " WHERE number > (SELECT max(up_to) FROM command_ids_made) AND id_hash = ?1)"
        f" AND ({ID} = ?2 OR {ID} BETWEEN ?3 AND ?3 || '~') LIMIT ?4",
        (id_hash(command_id), command_id, f"{command_id}{OWNED_BY}", limit),
    )
    return [position for (position,) in found]


def take_over(connection: apsw.Connection, answers: Iterable[Answer]) -> None:
    """Keeps answers to ids that have none yet, whose events are there already. The ids are indexed."""
    by_id: dict[str, Answer] = {}
    for answer in answers:
        by_id.setdefault(answer.command_id, answer)
    known = _numbers(connection, by_id)
    for one in known:
        by_id.pop(
            connection.execute(f"SELECT {ID} FROM command_answers AS kept WHERE number = ?", (one,)).get,
            None,
        )
    last = last_number(connection)
    insert_rows(
        connection,
        "INSERT INTO command_answers (command_id, request_hash, position, answer, events, id_hash)",
        [(*one, 0, id_hash(without_owner(one.command_id))) for one in by_id.values()],
    )
    connection.execute(
        "UPDATE command_answers SET events = coalesce(json_array_length(answer, '$.events'), 0)"
        " WHERE number > ? AND json_valid(answer)",
        (last,),
    )
    connection.execute(
        f"UPDATE command_answers AS kept SET answer = NULL, command_id = nullif(command_id,"
        " (SELECT command_id FROM events WHERE events.position = kept.position))"
        f" WHERE number > ? AND answer = {_FROM_THE_LOG}",
        (last,),
    )
    connection.execute(
        "INSERT OR IGNORE INTO command_ids SELECT id_hash, number FROM command_answers WHERE number > ?",
        (last,),
    )


def verify_answers(connection: apsw.Connection) -> None:
    """Checks that every answer can be told, and that the index has no answer under another id.

    Raises:
        LostAnswerError: one cannot be told, or is indexed wrongly. UnicodeDecodeError: a text was damaged.
    """
    for answer in _read(connection, "true"):
        if not is_json(answer.answer):
            raise LostAnswerError(f"what was answered at position {answer.position} is not whole")
    strange = connection.execute(
        "SELECT command_ids.number FROM command_ids LEFT JOIN command_answers USING (number)"
        " WHERE command_answers.id_hash IS NOT command_ids.id_hash LIMIT 1"
    ).get
    if strange is not None:
        raise LostAnswerError(f"the index of command ids has answer {strange} under another id")


def index_ids(connection: apsw.Connection) -> None:
    """Makes the index of ids anew."""
    connection.execute(
        "DELETE FROM command_ids;"
        " INSERT INTO command_ids SELECT id_hash, number FROM command_answers ORDER BY 1, 2;"
        " DELETE FROM command_ids_made;"
        " INSERT INTO command_ids_made SELECT coalesce(max(number), 0) FROM command_answers"
    )


def _read(connection: apsw.Connection, where: str, *bindings: Any) -> Iterator[Answer]:
    for row in connection.execute(f"{SELECT} WHERE {where}", bindings):
        yield answer_of(row)


def answer_of(row: Sequence[Any]) -> Answer:
    """The answer in a row that `SELECT` found.

    Raises:
        LostAnswerError: the log lacks its events.
    """
    if None in row:
        raise LostAnswerError(f"the log lacks what was answered at position {row[2]}")
    return Answer(*row[:4])


def is_json(text: str) -> bool:
    """Whether a text is JSON."""
    try:
        decoded(msgspec.json.decode, text)
    except msgspec.DecodeError:
        return False
    return True


def _numbers(connection: apsw.Connection, command_ids: Iterable[str], more: str = "") -> list[int]:
    """The numbers of the answers to these ids, and of others whose ids have the same hashes."""
    hashes = [id_hash(without_owner(one)) for one in command_ids]
    if not hashes:
        return []
    return [
        number
        for (number,) in connection.execute(
            f"SELECT number FROM carray(?1) CROSS JOIN command_ids ON id_hash = value {more}",
            (_integers(hashes),),
        )
    ]


def without_owner(command_id: str) -> str:
    """A command id without its owner."""
    return command_id.partition(OWNED_BY)[0]


def _integers(values: Iterable[int]) -> Any:
    return apsw.carray(array("q", values))

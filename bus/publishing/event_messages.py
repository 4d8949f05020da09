"""Events as bytes of NATS's protocol, many in one piece, which the relay passes to the socket unchanged.

SQLite makes the bytes, in a thread of its own and without Python's global lock. When they were made in
Python, they took more of the event loop's time than commands and answers did.
"""

import apsw
import msgspec

from bus.log import chain
from bus.log.cloud_events import Origin, cloud_event_sql, event_id_sql
from hyperpage_client.contract.subjects import BusNames

# The most messages that share one answer of JetStream.
MAXIMUM_EVENTS = 512
# The limit for all `data` of a block; a single event may be larger. Three blocks are under way while a fourth
# is made.
MAXIMUM_BYTES = 256 * 1024

# The LIMIT keeps SQLite from merging the two queries, which would compute each part of a message once for
# each use. It also keeps the order; JetStream would refuse messages in another order.
_MESSAGES = """
    SELECT
        CAST(group_concat(
            'HPUB ' || subject || iif(position = :last, ' ' || :reply, '')
            || ' ' || octet_length(headers) || ' ' || (octet_length(headers) + octet_length(body))
            || char(13, 10) || headers || body || char(13, 10),
            ''
        ) AS BLOB) AS encoded,
        count(subject),
        max(octet_length(headers) + octet_length(body))
    FROM (
        SELECT
            position,
            {subject} AS subject,
            'NATS/1.0' || char(13, 10)
                || 'Nats-Msg-Id: ' || {event_id} || char(13, 10)
                || 'Nats-Expected-Last-Sequence: ' || (position - 1 + :offset) || char(13, 10)
                || iif(position = :first OR :is_replicated, '',
                    'Nats-Expected-Last-Msg-Id: ' || {id_before} || char(13, 10))
                || char(13, 10) AS headers,
            {body} AS body
        FROM events WHERE position > :after AND position <= :last ORDER BY position LIMIT :last - :after
    )
"""


class EventMessages(msgspec.Struct, frozen=True):
    """Messages of the events up to position `last`, one for each, without a gap; the last asks for an answer.

    `count` is the number of messages; it is smaller than that of positions if the log is damaged.
    `largest_bytes` is the size of the largest message, with its headers.
    """

    last: int
    encoded: bytes
    count: int
    largest_bytes: int


class EventEncoder:
    """Makes the messages of one store's log."""

    def __init__(self, names: BusNames, origin: Origin) -> None:
        self._messages = _MESSAGES.format(
            subject=names.event_sql(),
            event_id=event_id_sql(origin),
            id_before=event_id_sql(origin, "(position - 1)"),
            body=cloud_event_sql(origin),
        )

    def read(
        self,
        connection: apsw.Connection,
        after: int,
        *,
        offset: int,
        first: int,
        reply: str,
        is_replicated: bool = False,
        most: int = MAXIMUM_EVENTS,
    ) -> EventMessages | None:
        """The next messages behind position `after`, at most `most`; `None` at the end of the log.

        Each message expects that the stream's last sequence is its own position less one, plus `offset`. It
        also expects the id of the event before it there, since a message of another publisher may have taken
        that sequence. The message at position `first` does not, as the one before it may be gone. Nor does
        any message of a stream that `is_replicated` (see `bus.publishing.publisher`): each member of the
        cluster puts the same event under a sequence. The last message names `reply` for the answer.
        """
        last = chain.end_of_next(connection, after, most=most, most_bytes=MAXIMUM_BYTES)
        if last is None:
            return None
        encoded, count, largest = connection.execute(
            self._messages,
            {
                "after": after,
                "last": last,
                "offset": offset,
                "first": first,
                "reply": reply,
                "is_replicated": is_replicated,
            },
        ).fetchone()  # type: ignore[misc]
        return EventMessages(last, encoded or b"", count, largest or 0)

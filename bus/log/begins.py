"""The begins of attempts that rates count, as the log has them."""

from collections.abc import Iterator

import apsw
import msgspec

from bus.log.damage import Damage
from domain.limiting import MAXIMUM_RATE_WINDOW_MS, CountedRate


class _Claimed(msgspec.Struct, gc=False):
    """The part of a `job.claimed.v1` event that is read."""

    counted: tuple[CountedRate, ...] = ()


_decode = msgspec.json.Decoder(_Claimed).decode


def counted_begins(
    connection: apsw.Connection, now: int, damage: Damage
) -> Iterator[tuple[CountedRate, int]]:
    """The rates that begun attempts count for, while their windows last, and when each began, earliest first.

    The log has them even if their jobs have left the tables; an index has them by time. An event that cannot
    be read is not counted, and `damage` notes it: the service must start all the same.
    """
    for position, at, data in connection.execute(
        # Only valid JSON, and as bytes: SQLite would raise for other data, and apsw for invalid text.
        "SELECT position, recorded_at, CAST(data AS BLOB) FROM events"
        " WHERE type = 'job.claimed.v1' AND json_valid(data) AND data ->> 'counted' IS NOT NULL"
        " AND recorded_at > ? ORDER BY recorded_at, position",
        (now - MAXIMUM_RATE_WINDOW_MS,),
    ):
        try:
            counted = _decode(data).counted
        except msgspec.MsgspecError as error:
            damage.suspect(f"the begin at position {position} cannot be read: {error}")
            continue
        for one in counted:
            if at > now - one.window_ms:
                yield one, at

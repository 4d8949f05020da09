"""When attempts began that rates count, as the log has it."""

from collections.abc import Iterator

import apsw
import msgspec

from bus.log.damage import Damage
from domain.limiting import MAXIMUM_RATE_WINDOW_MS, CountedRate


class _Claimed(msgspec.Struct, gc=False):
    """The part of the event that is looked at."""

    counted: tuple[CountedRate, ...] = ()


_decode = msgspec.json.Decoder(_Claimed).decode


def counted_begins(
    connection: apsw.Connection, now: int, damage: Damage
) -> Iterator[tuple[CountedRate, int]]:
    """What attempts count for whose window is not over, and when they began, the earliest first.

    They are in the log also where their jobs have left the tables; an index has them by their time. One that
    cannot be read is not counted, and `damage` is told: the service must start all the same.
    """
    for position, at, data in connection.execute(
        # As they are on disk: SQLite would raise at what is no JSON, and apsw at what is no text.
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

"""When attempts began that rates count, as the log has it."""

from collections.abc import Iterator

import apsw
import msgspec

from domain.limiting import MAXIMUM_RATE_WINDOW_MS, CountedRate

_decode = msgspec.json.Decoder(tuple[CountedRate, ...]).decode


def counted_begins(connection: apsw.Connection, now: int) -> Iterator[tuple[CountedRate, int]]:
    """What attempts count for whose window is not over, and when they began, the earliest first.

    They are in the log also where their jobs have left the tables; an index has them by their time.
    """
    for at, counted in connection.execute(
        "SELECT recorded_at, data ->> 'counted' FROM events"
        " WHERE type = 'job.claimed.v1' AND data ->> 'counted' IS NOT NULL AND recorded_at > ?"
        " ORDER BY recorded_at, position",
        (now - MAXIMUM_RATE_WINDOW_MS,),
    ):
        for one in _decode(counted):
            if at > now - one.window_ms:
                yield one, at

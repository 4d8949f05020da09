"""Rows of the log as CloudEvents 1.0 in JSON, which is what subscribers get."""

from datetime import UTC, datetime
from functools import lru_cache

import apsw
import msgspec

from bus import log
from domain.messages import Metadata

_METADATA = msgspec.json.Decoder(Metadata)
_quote = msgspec.json.Encoder().encode


class Origin(msgspec.Struct, frozen=True):
    """Where events come from: the store, and at which position each of its timelines begins (in order)."""

    store_id: str
    timelines: tuple[tuple[int, int], ...] = ((1, 1),)

    def timeline_at(self, position: int) -> int:
        """The timeline that the event at a position belongs to."""
        for timeline, first_position in reversed(self.timelines):
            if position >= first_position:
                return timeline
        raise LookupError(f"no timeline reaches back to position {position}")

    def event_id(self, position: int) -> str:
        """`<timeline>-<position>`: an event's id, and its message's."""
        return f"{self.timeline_at(position)}-{position}"


def read_origin(connection: apsw.Connection) -> Origin:
    """The identity of a store."""
    return Origin(
        str(connection.execute("SELECT store_id FROM store").get),
        tuple(connection.execute("SELECT timeline, first_position FROM timelines ORDER BY timeline")),
    )


def cloud_event(origin: Origin, row: log.Row) -> bytes:
    """The event of a row. `data` is spliced in as it is stored: it is JSON, and checked when it came in."""
    timeline = origin.timeline_at(row.position)
    data = row.data if isinstance(row.data, str) else "null"
    event = (
        f'{{"specversion":"1.0","id":"{timeline}-{row.position}","source":"hyperpage/{origin.store_id}",'
        f'"type":"hyperpage.{row.type}","subject":{_quote(row.stream).decode()},"time":"{_time(row.recorded_at)}",'
        f'"datacontenttype":"application/json","sequence":"{row.position}","version":{row.version},'
        f'"timeline":{timeline},"hash":"{row.hash.hex()}"'
    )
    if row.command_id is not None:
        event += f',"commandid":{_quote(row.command_id).decode()}'
    if row.metadata is not None:
        event += _extensions(row.metadata)
    return f'{event},"data":{data}}}'.encode()


def _extensions(metadata: str) -> str:
    known = _METADATA.decode(metadata)
    named = (
        ("actor", known.actor),
        ("correlationid", known.correlation_id),
        ("causationid", known.causation_id),
        ("traceparent", known.traceparent),
    )
    return "".join(f',"{name}":{_quote(value).decode()}' for name, value in named if value is not None)


# A group of events has one time.
@lru_cache(maxsize=16)
def _time(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"

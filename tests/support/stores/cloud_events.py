"""The contract's CloudEvents, made in Python, to compare those with that SQLite makes."""

from datetime import UTC, datetime

import msgspec

from bus.log import chain
from bus.log.cloud_events import Origin
from domain.messages import Metadata

_METADATA = msgspec.json.Decoder(Metadata)
_quote = msgspec.json.Encoder().encode


def cloud_event(origin: Origin, row: chain.Row) -> bytes:
    """The event of a row. `data` is as it is stored."""
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
        ("principal", known.principal),
    )
    return "".join(f',"{name}":{_quote(value).decode()}' for name, value in named if value is not None)


def _time(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"

"""The states of aggregates, as the log has them."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import cast

import apsw
import msgspec

from bus.log import chain
from domain.catalogue import BY_TABLE, decode_event, state_shape
from domain.decider import ABSENT, Aggregate, Decider, replay
from domain.messages import Recorded, split_stream, stream_name

# A hash of each state's structure. A kept state of another structure is passed over: the events say it all.
SHAPES: Mapping[str, str] = {
    table: sha256(msgspec.json.encode(state_shape(decider), order="sorted")).hexdigest()[:16]
    for table, decider in BY_TABLE.items()
}


def read_aggregate(
    connection: apsw.Connection,
    table: str,
    key: str,
    *,
    up_to_position: int | None = None,
    up_to_version: int | None = None,
) -> Aggregate:
    """An aggregate from the log, as it is or as it was at a position or version; `ABSENT` without events."""
    decider = BY_TABLE[table]
    stream = stream_name(table, key)
    start = _kept(connection, decider, stream, up_to_position, up_to_version)
    rows = chain.read_stream(
        connection,
        stream,
        after_version=start.version,
        up_to_position=up_to_position,
        up_to_version=up_to_version,
    )
    recorded = [to_recorded(row) for row in rows]
    if not recorded:
        return start
    return Aggregate(recorded[-1].version, recorded[-1].position, replay(decider, recorded, start.state))


def read_aggregates(connection: apsw.Connection, table: str, keys: Iterable[str]) -> dict[str, Aggregate]:
    """Aggregates by key, read together; those that have a kept state, or no event, are left out."""
    decider = BY_TABLE[table]
    found: dict[str, list[Recorded]] = {}
    for row in connection.execute(
        "SELECT position, stream, version, type, recorded_at, data"
        " FROM carray(?) CROSS JOIN events ON stream = value"
        " WHERE NOT EXISTS (SELECT 1 FROM snapshots WHERE snapshots.stream = value) ORDER BY version",
        # No event has such a key, but a row that was tampered with may, and `carray` does not take it.
        (apsw.carray(tuple(stream_name(table, key) for key in keys if "\0" not in key)),),
    ):
        position, stream, version, type_name, recorded_at, data = row
        _, key = split_stream(stream)
        recorded = Recorded(position, key, version, recorded_at, decode_event(type_name, data))
        found.setdefault(key, []).append(recorded)
    return {
        key: Aggregate(some[-1].version, some[-1].position, replay(decider, some, None))
        for key, some in found.items()
    }


def to_recorded(row: chain.Row) -> Recorded:
    """The event of a row of the log, in today's form."""
    _, key = split_stream(row.stream)
    # `data` is text for every event of the domain.
    return Recorded(
        row.position, key, row.version, row.recorded_at, decode_event(row.type, cast("str", row.data))
    )


def _kept(
    connection: apsw.Connection, decider: Decider, stream: str, position: int | None, version: int | None
) -> Aggregate:
    row = connection.execute(
        "SELECT version, position, state FROM snapshots WHERE stream = ? AND shape = ?"
        " AND position <= ? AND version <= ? ORDER BY version DESC LIMIT 1",
        (stream, SHAPES[decider.table], chain.or_last(position), chain.or_last(version)),
    ).fetchone()
    if row is None:
        return ABSENT
    return Aggregate(row[0], row[1], msgspec.json.decode(row[2], type=decider.state))

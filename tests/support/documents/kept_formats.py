"""The shapes of all formats that are stored or sent, and read by another version of the program later.

    make formats    or    python -m tests.support.documents.kept_formats

records the shape of each format under its number. A shape that is recorded may only grow by members that
may be left out, which older programs pass over; any other change needs a new number, and a program that
reads both, or refuses the other one by name. Events have samples instead (`make samples`), tables the
checksums of their migrations, and kept states of aggregates carry their shape with them.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from bus.log.cloud_events import Origin
from bus.replication import frame
from bus.replication.leader_watch import Leader
from bus.replication.members import Member
from bus.replication.shared_backup import SharedBackup
from bus.serving.durable import suspects
from migrations.aggregate_tables import AggregateTable
from ops.analytics.lake import manifest
from ops.archive import end, segment
from ops.audit.entry import Entry
from ops.backup import metadata
from ops.backup.restoring.repairs import Repair
from ops.backup.restoring.swap import Intent
from ops.health.room import Sample
from ops.http.access import tokens
from ops.security import users
from ops.store.data_directory import Admin, Runtime
from ops.store.led_terms import Led
from tests.support.repository import ROOT

RECORD = ROOT / "tests" / "support" / "documents" / "kept_formats.json"
# Each stored format with its number. A format without a number in its content had no second form yet: its
# content gets one with the first change that older programs would misread.
FORMATS: Mapping[str, tuple[Any, int]] = {
    "backup metadata": (metadata.Metadata, metadata.FORMAT),
    # The shape of a mapping does not tell which keys it may have.
    "checks in a backup's metadata": (metadata.Check, metadata.FORMAT),
    "archive segment, first line": (segment.Header, segment.FORMAT),
    "archive segment, last line": (segment.Trailer, segment.FORMAT),
    "archive segment, metadata": (segment.Envelope, segment.FORMAT),
    "lake manifest": (manifest.Manifest, manifest.FORMAT),
    "log frame": (frame.Frame, frame.FORMAT),
    "audit line": (Entry, 1),
    "tokens.json": (tokens._File, 1),
    "users.json": (users._File, 1),
    "runtime.json": (Runtime, 1),
    "admin.json": (Admin, 1),
    "archive.json": (end._Said, 1),
    "room.json": (list[Sample], 1),
    "repairs": (list[Repair], 1),
    "intent of a restore": (Intent, 1),
    "term that was led": (Led, 1),
    "marks of durable commands": (suspects._Mark, 1),
    "counts of durable commands": (suspects._Counts, 1),
    "member of a cluster": (Member, 1),
    "leader of a cluster": (Leader, 1),
    "backup on the nats-servers": (SharedBackup, 1),
    "origin of a store": (Origin, 1),
    "table of an aggregate": (AggregateTable, 1),
}

Shape = dict[str, Any]
Record = dict[str, dict[str, Shape]]


def shape_of(kind: Any) -> Shape:
    """The names, types and defaults of a format, without words about them."""
    # As JSON, since a default may be a tuple.
    shape: Shape = msgspec.json.decode(msgspec.json.encode(_without_words(msgspec.json.schema(kind))))
    return shape


def _without_words(value: Any) -> Any:
    if isinstance(value, dict):
        # A member may have the name `title`: its value is an object then.
        return {
            name: _without_words(each)
            for name, each in value.items()
            if name not in ("title", "description") or isinstance(each, dict)
        }
    return [_without_words(each) for each in value] if isinstance(value, list) else value


def recorded() -> Record:
    """The shapes as they were recorded, by format and number."""
    return msgspec.json.decode(RECORD.read_bytes(), type=Record) if RECORD.exists() else {}


def with_shapes(record: Record, formats: Mapping[str, tuple[Any, int]]) -> Record:
    """The record with today's shapes.

    Raises:
        ValueError: one has changed so that other programs misread it, under the same number.
    """
    found = {name: dict(shapes) for name, shapes in record.items()}
    for name, (kind, number) in formats.items():
        shape, before = shape_of(kind), found.get(name, {}).get(str(number))
        if before is not None and not _has_only_grown(before, shape):
            raise ValueError(f"{name} is another one than that of number {number}: give it the next number")
        found.setdefault(name, {})[str(number)] = shape
    return found


def _has_only_grown(before: Any, now: Any) -> bool:
    """True if each version reads what the other writes: only members that may be left out were added."""
    if isinstance(before, dict) and isinstance(now, dict):
        is_object = isinstance(before.get("properties"), dict)
        if is_object and before.get("additionalProperties") is False and before != now:
            return False
        grown = now.keys() - before.keys()
        return (
            before.keys() <= now.keys()
            and all(
                _has_only_grown(before[name], now[name])
                if name not in ("properties", "$defs")
                else before[name].keys() <= now[name].keys()
                and all(_has_only_grown(before[name][each], now[name][each]) for each in before[name])
                for name in before
            )
            and (not grown or grown <= {"$defs"})
        )
    return bool(before == now)


if __name__ == "__main__":
    written = [
        f"{msgspec.json.encode(name).decode()}: {msgspec.json.encode(shapes, order='sorted').decode()}"
        for name, shapes in sorted(with_shapes(recorded(), FORMATS).items())
    ]
    # A line for each.
    RECORD.write_text("{\n" + ",\n".join(written) + "\n}\n", encoding="utf-8")

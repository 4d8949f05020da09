"""Checks that all answers of a run are true, and that all promises hold."""

import itertools
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from bus.log import chain
from bus.log.cloud_events import read_origin, scan_events
from migrations.connection import open_reader
from projections import rebuild
from tests.lab.experiment import Broken
from tests.lab.registers import check_keys
from tests.lab.simulation.load import Told
from tests.lab.simulation.service import NAMES

if TYPE_CHECKING:
    from tests.lab.simulation.run import World


class _Row(msgspec.Struct, frozen=True):
    position: int
    stream: str
    version: int
    type: str
    command_id: str
    data: Any


def judge(world: "World") -> None:
    """Raises `Broken` if anything does not hold."""
    disk = world.machine.disk
    with closing(open_reader(disk.store)) as connection:
        head = chain.verify_chain(connection)
        if not rebuild.verify(connection, disk.folder / "scratch").equal:
            raise Broken("the tables are not what the log says")
        rows = [
            _Row(position, stream, version, kind, command_id, msgspec.json.decode(data))
            for position, stream, version, kind, command_id, data in connection.execute(
                "SELECT position, stream, version, type, command_id, data FROM events ORDER BY position"
            )
        ]
        origin = read_origin(connection)
        events = [
            event
            for _, event in scan_events(connection, origin, 0, streams=["*"], limit=head.position + 1)
            if event is not None
        ]
    if [row.position for row in rows] != list(range(1, len(rows) + 1)):
        raise Broken("positions have gaps")
    if world.told.internal:
        raise Broken(f"a defect: {world.told.internal[0]}")
    _require_commands(world.told, rows)
    _require_durable_ones(world, rows)
    _require_results(world, rows)
    _require_stream(world, events)
    _require_followed(world.told, events)
    for key, verdict in check_keys(world.told.operations).items():
        raise Broken(f"what clients saw of {key} cannot have come one after the other: {verdict}")


def _require_commands(told: Told, rows: list[_Row]) -> None:
    by_id = {
        command_id: list(group)
        for command_id, group in itertools.groupby(
            sorted(rows, key=lambda row: (row.command_id or "", row.position)), key=lambda row: row.command_id
        )
    }
    for sent in told.sent:
        found = by_id.get(sent.command_id, [])
        what = f"{sent.name} {sent.command_id}"
        if sent.answer is not None:
            said = msgspec.json.decode(sent.answer)
            last = found[-1] if found else None
            if [row.type for row in found] != said["events"]:
                raise Broken(f"{what} was answered {sent.answer!r}, and stored is {found}")
            if last and (last.position, last.stream, last.version) != (
                said["position"],
                said["stream"],
                said["version"],
            ):
                raise Broken(f"{what} was answered {sent.answer!r}, and its last event is {last}")
        elif sent.refused is not None and found:
            raise Broken(f"{what} was refused as {sent.refused}, and stored is {found}")
        elif sent.is_void and found:
            raise Broken(f"{what} reached nobody, its client was told, and stored is {found}")
        positions = [row.position for row in found]
        if positions != list(range(positions[0], positions[0] + len(positions)) if positions else []):
            raise Broken(f"{what} was carried out more than once: {found}")
    for sent, answer in told.repeated:
        if answer != sent.answer:
            raise Broken(f"{sent.name} {sent.command_id} was answered {sent.answer!r}, then {answer!r}")


def _require_durable_ones(world: "World", rows: list[_Row]) -> None:
    """Checks that each durable command without an id, unless the broker lost it, is there once, in order."""
    nameless = [row for row in rows if row.stream.startswith("app_state/nameless-")]
    for value, times in Counter(row.data["value"] for row in nameless).items():
        if times > 1:
            raise Broken(f"a durable command was carried out {times} times: value {value}")
    positions = {row.data["value"]: row.position for row in nameless}
    last: dict[int, int] = {}
    for one in world.told.stored:
        if one.at <= world.lost_at:
            continue
        position = positions.get(one.value)
        if position is None:
            raise Broken(f"a durable command that the broker has taken was never carried out: {one}")
        if position < last.get(one.sender, 0):
            raise Broken(f"a durable command was carried out before an earlier one: {one}")
        last[one.sender] = position


def _require_results(world: "World", rows: list[_Row]) -> None:
    """Checks that each durable command, unless the broker lost it, has an answer, and a true one."""
    results = world.jetstream.streams.get("HYPERPAGE_RESULTS")
    kept = {} if results is None else {one.subject: one.body for one in results.messages.values()}
    positions: dict[str, int] = {row.command_id: row.position for row in rows}
    for command_id, at in world.told.kept.items():
        if at <= world.lost_at:
            continue
        body = kept.get(NAMES.result(command_id))
        if body is None:
            raise Broken(f"a durable command that the broker has taken has no answer: {command_id}")
        said = msgspec.json.decode(body)
        if said.get("position") != positions.get(command_id):
            raise Broken(f"a durable command was answered {body!r}, and is at {positions.get(command_id)}")


def _require_stream(world: "World", events: list[bytes]) -> None:
    stream = world.jetstream.streams.get("HYPERPAGE_EVENTS")
    messages = [] if stream is None else [one.body for _, one in sorted(stream.messages.items())]
    if messages != events:
        raise Broken(
            f"the stream has {len(messages)} messages, and the log {len(events)} events, which they are not"
        )


def _require_followed(told: Told, events: list[bytes]) -> None:
    for number, seen in told.events.items():
        positions = [event.position for event in seen]
        if positions != list(range(1, len(events) + 1)):
            raise Broken(f"subscriber {number} saw {positions} of {len(events)} events")
        hashes = [msgspec.json.decode(event)["hash"] for event in events]
        if [event.hash for event in seen] != hashes:
            raise Broken(f"subscriber {number} saw events that are not the log's")

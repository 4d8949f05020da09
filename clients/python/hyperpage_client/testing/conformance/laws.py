"""The checks of a history: rows as they were, a restart, a rebuild, the log, the stream."""

import asyncio
from collections import defaultdict
from typing import Any

import msgspec
from nats.errors import Error as NatsError

from hyperpage_client.client import Client
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.testing.conformance.broken import LawBroken
from hyperpage_client.testing.conformance.life import Life, row_at, row_now
from hyperpage_client.testing.service import NoServiceError, OwnService

_PAGE = 1_000
# How long events may take from the log into the stream.
_RELAYED_SECONDS = 30.0
_LOOK_SECONDS = 0.02
_decode = msgspec.json.decode


async def check_rows(client: Client, life: Life) -> None:
    """Returns if rows, read now as of each position, are those that were read at that time.

    Raises:
        LawBroken: a row is another one.
    """
    for key, seen in life.seen.items():
        places = sorted(seen.rows)
        for place, following in zip(places, [*places[1:], None], strict=True):
            row = seen.rows[place]
            positions = {place}
            # If the next row that was seen has the next version, this row was the same until just before it.
            if following is not None and _is_next(row, seen.rows[following]):
                positions.add(following - 1)
            for position in sorted(positions):
                then = await row_at(client, life.table, seen.named, position)
                if then == row or (row is None and _has_expired(then)):
                    continue
                raise LawBroken(
                    "as_then",
                    f"{life.table} {key!r} at position {position} was {_text(row)}, now {_text(then)}",
                )


async def check_restart(client: Client, life: Life) -> None:
    """Returns if rows are those that were seen last, before the service was started again.

    Raises:
        LawBroken: a row is another one, although its stream has no newer event.
    """
    for key, seen in life.seen.items():
        before = seen.rows[max(seen.rows)]
        after = await row_now(client, life.table, seen.named)
        if after == before or before is None or (after is None and _has_expired(before)):
            continue
        happened = [event async for event in client.history(life.table, **seen.named)]
        if happened[-1].version == _decode(before)["version"]:
            raise LawBroken(
                "restarted",
                f"{life.table} {key!r} was {_text(before)}, and is {_text(after)} after a restart",
            )


async def check_log(client: Client, life: Life) -> None:
    """Returns if the log has every position and just the events that were answered, and the stream the same.

    Raises:
        LawBroken: an event is missing, or there twice.
    """
    events = await _log(client)
    positions = [int(one["sequence"]) for one in events]
    if positions != list(range(1, len(positions) + 1)):
        gap = next(number for number, one in enumerate(positions, start=1) if number != one)
        raise LawBroken("log", f"position {gap} is missing")
    stored: defaultdict[str, list[str]] = defaultdict(list)
    for one in events:
        stored[one.get("commandid", "")].append(one["type"].removeprefix("hyperpage."))
    for wish, answer in life.accepted:
        said = _decode(answer, type=CommandAnswer)
        if stored[wish.command_id] != said.events:
            raise LawBroken(
                "repeated" if len(stored[wish.command_id]) > len(said.events) else "log",
                f"{wish} was answered with the events {said.events}, the log has {stored[wish.command_id]}",
            )
    for wish in life.refused:
        if stored[wish.command_id]:
            raise LawBroken("log", f"{wish} was refused, and the log has {stored[wish.command_id]}")
    await _check_stream(client, events)


async def check_rebuild(service: OwnService) -> None:
    """Returns if a rebuild of the tables would change nothing.

    Raises:
        LawBroken: it would change something.
        NoServiceError: the check could not be made.
    """
    try:
        await asyncio.to_thread(service.command, "projections", "verify", "--json")
    except NoServiceError as error:
        _, found, report = str(error).partition('{"equal":false')
        if not found:
            raise
        tables = msgspec.json.Decoder().decode((found + report).splitlines()[0].encode())["tables"]
        different = {name: one["examples"][:1] for name, one in tables.items() if one["examples"]}
        raise LawBroken(
            "rebuilt", f"a rebuild would change {_text(msgspec.json.encode(different))}"
        ) from None


async def _check_stream(client: Client, events: list[dict[str, Any]]) -> None:
    jetstream = client.connection.nats.jetstream()
    stream = client.names.events
    clock = asyncio.get_running_loop().time
    deadline = clock() + _RELAYED_SECONDS
    while (has := (await jetstream.stream_info(stream)).state.last_seq) < len(events):
        if clock() > deadline:
            raise LawBroken("stream", f"it has {has} of {len(events)} events")
        await asyncio.sleep(_LOOK_SECONDS)
    for number, event in enumerate(events, start=1):
        try:
            message = await jetstream.get_msg(stream, number)
        except NatsError as error:
            raise LawBroken("stream", f"position {number} is not in it: {error}") from error
        if _decode(message.data or b"null") != event:
            raise LawBroken("stream", f"position {number} is {_text(message.data)}, the log has {event}")


async def _log(client: Client) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while True:
        after = int(events[-1]["sequence"]) if events else 0
        page = await client.query("events.read", {"after": after, "limit": _PAGE})
        events += page["items"]
        if page["next"] is None:
            return events


def _is_next(row: bytes | None, following: bytes | None) -> bool:
    if row is None or following is None:
        return False
    return bool(_decode(row)["version"] + 1 == _decode(following)["version"])


def _has_expired(row: bytes | None) -> bool:
    """Whether a row may be hidden without an event that says so: by its column `expires_at`, say."""
    if row is None:
        return False
    return any("expir" in name and value is not None for name, value in _decode(row).items())


def _text(row: bytes | None) -> str:
    return "none" if row is None else row.decode()

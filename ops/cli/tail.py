"""`hyperpage tail`: follows the change events."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from ops.cli.asking import CLIENT_NAME, Address, application_address, ask
from ops.cli.terminal.completing import tables
from ops.cli.terminal.exits import Exit, failure, unreachable, usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import compact, event_line

if TYPE_CHECKING:
    from hyperpage_client.following.change_events import ChangeEvent

HEAD_SECONDS = 10.0
# Greater than every position: a page from here on is empty, and has the position of the log's head.
_BEHIND_ALL = 2**62


def tail(
    *,
    from_position: Annotated[
        int | None,
        option("Begin with the event at this position; 1: the first. Default: new events.", name="--from"),
    ] = None,
    table: Annotated[str | None, option("Only events of this table.", completer=tables)] = None,
    stream: Annotated[str | None, option("Only events of this stream, such as jobs/9f1c.")] = None,
    limit: Annotated[int | None, option("End after this many events. Default: go on.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints change events as they happen, each once and in order, until Ctrl-C.

    For example:

        hyperpage tail
        hyperpage tail --from 1 --table jobs
        hyperpage tail --from 1 --limit 10 --json

    Each event is one line: position, time, type, stream, actor, data. With
    --json, it is the CloudEvent. The command waits for a broker or service that
    is away.
    """
    _require_known(table, stream)
    if table is not None and stream is not None:
        raise usage_failure("either a table or a stream", "a stream's name begins with its table")
    for name, value in (("--from", from_position), ("--limit", limit)):
        if value is not None and value < 1:
            raise usage_failure(f"{name} counts from 1, and is {value}")
    address = application_address(data)
    following = _follow(address, from_position, table, stream, limit, compact if as_json else event_line)
    with suppress(KeyboardInterrupt):
        asyncio.run(following)


def _require_known(table: str | None, stream: str | None) -> None:
    from domain.catalogue import BY_TABLE

    of_stream, _, key = (stream or "").partition("/")
    named = table if stream is None else of_stream
    if named is not None and named not in (*BY_TABLE, "system"):
        from bus.contract.violations import nearest

        near = nearest(named, tuple(BY_TABLE))
        meant = near if stream is None else f"{near}/{key or 'KEY'}"
        opening = f"did you mean {meant}? " if near else ""
        tables = ", ".join(BY_TABLE)
        if stream is None:
            raise usage_failure(f"there is no table {named}", f"{opening}it is one of {tables}")
        raise usage_failure(
            f"{stream!r} is not the name of a stream",
            f"{opening}it is a table and a key, such as jobs/9f1c; the tables are {tables}",
        )
    if stream is not None and not key:
        raise usage_failure(
            f"{stream!r} is not the name of a stream", f"it goes on with a key: {of_stream}/9f1c, say"
        )


async def _follow(
    address: Address,
    from_position: int | None,
    table: str | None,
    stream: str | None,
    limit: int | None,
    written: Callable[[dict[str, Any]], str],
) -> None:
    from bus.client import ClosedError, PlaceLostError, Unreachable, connect

    # Asked even with --from: this query fails at once if no service is there, while the client would wait.
    question = compact({"after": _BEHIND_ALL, "limit": 1}).encode()
    answer = await ask(address, address.names.query("events.read"), question, timeout_seconds=HEAD_SECONDS)
    head: int = msgspec.json.decode(answer)["head"]
    start = from_position or head + 1
    if start > head + 1:
        raise failure(
            Exit.NOT_FOUND,
            "not_found",
            f"the log ends at position {head}",
            "without --from, new events are shown as they come",
        )
    shown = 0
    try:
        async with (
            connect(
                address.url,
                prefix=address.names.prefix,
                inbox_prefix=address.inbox_prefix,
                name=CLIENT_NAME,
                **address.access.files,
            ) as client,
            client.subscribe(start, table=table, stream=stream) as events,
        ):
            async for event in events:
                # Flush each line, so that a reader behind a pipe gets it at once.
                print(written(cloud_event(event)), flush=True)
                shown += 1
                if shown == limit:
                    return
    except PlaceLostError as error:
        raise failure(
            Exit.NOT_FOUND, "not_found", str(error), "begin where the log is: `hyperpage tail --from 1`, say"
        ) from error
    except (ClosedError, Unreachable) as error:
        raise unreachable(str(error), "try again") from error


def cloud_event(event: "ChangeEvent") -> dict[str, Any]:
    """An event in the form that subscribers in any language get (CloudEvents 1.0 in JSON)."""
    extensions = {
        "commandid": event.command_id,
        "actor": event.actor,
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "traceparent": event.traceparent,
        "principal": event.principal,
    }
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": f"hyperpage/{event.store_id}",
        "type": f"hyperpage.{event.type}",
        "subject": event.stream,
        "time": f"{event.time:%Y-%m-%dT%H:%M:%S}.{event.time.microsecond // 1000:03d}Z",
        "datacontenttype": "application/json",
        "sequence": str(event.position),
        "version": event.version,
        "timeline": event.timeline,
        "hash": event.hash,
        **{name: value for name, value in extensions.items() if value is not None},
        "data": event.data,
    }

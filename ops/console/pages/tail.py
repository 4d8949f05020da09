"""The live page, `tail.html`, and the stream that its script follows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import random

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bus.log.reader_pool import PoolClosedError, PoolExhaustedError
from bus.log.reading import pattern_of
from ops.console.rendering import PREFIX
from ops.console.routing import page
from ops.console.shown_events import shown
from ops.console.visit import Visit, is_whole
from ops.http.following.tails import PERIOD_SECONDS, Tails
from ops.http.routes.streaming import NOTHING_NEW, RETRY_MS, EventStream, Follower
from ops.http.routing import backend_of, route
from projections.tables import TABLES

# How many events the page shows when it opens, and how many its script keeps.
LINES = 40


async def show_tail(visit: Visit) -> Response:
    """The newest events, of all tables or of one."""
    table = visit.parameter("table")
    found = await visit.query("events.find", table=table, limit=LINES)
    return visit.render("log/tail.html", table=table, tables=TABLES, events=shown(found["items"]))


async def follow(request: Request) -> Response:
    """The newest events in pieces, as server-sent events."""
    backend = backend_of(request)
    streams = pattern_of(request.query_params.get("table") or None, None)
    # The position up to which the page shows events. A browser that reconnects sends the last id it got.
    said = request.headers.get("last-event-id") or request.query_params.get("after", "")
    after = int(said) if is_whole(said) else None
    return EventStream(request, _pieces(request, backend.now.tails, streams, after))


async def _pieces(request: Request, tails: Tails, streams: str, after: int | None) -> AsyncIterator[bytes]:
    tail, delay_seconds = tails.join(streams), tails.delay_seconds()
    try:
        follower, number = Follower(request), tail.reached
        # Followers write at different times between two pieces: fifty writes at once would delay commands.
        phase = random() * PERIOD_SECONDS
        position, begin = tail.position, {"seen": tail.seen, "lines": [], "missed": 0}
        if after is not None:
            with suppress(PoolExhaustedError, PoolClosedError):
                begin["lines"], begin["missed"] = await asyncio.to_thread(tail.read, after, position)
        said = msgspec.json.encode(begin)
        yield b"retry: %d\nid: %d\nevent: begin\ndata: %b\n\n" % (RETRY_MS, position, said)
        while (has_more := await follower.wait(tail, number)) is not None:
            if not has_more:
                yield NOTHING_NEW
                continue
            await asyncio.sleep(phase)
            await asyncio.sleep(delay_seconds)
            number = tail.reached
            yield tail.frame
    finally:
        tails.leave(tail)


ROUTES = [page("/tail", show_tail), route(f"{PREFIX}/tail/stream", follow, role="read", operation=None)]

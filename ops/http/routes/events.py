"""The events, live or from any position, as server-sent events: `GET /api/v1/events`.

No event is left out: each follower reads the log at its own speed. A follower that stops reading is cut off,
and can go on with `Last-Event-ID`.
"""

import asyncio
from collections.abc import AsyncIterator
from random import random

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from bus.log.reading import pattern_of
from domain.errors import Invalid
from domain.messages import Key
from ops.contract.components import ANY_EVENT
from ops.contract.schema import described
from ops.contract.shapes import TEXT, object_of
from ops.http.following.event_feed import MAXIMUM_POSITIONS, PACE_SECONDS, EventFeed
from ops.http.operations import (
    JSON,
    SCHEMAS,
    Operation,
    answer,
    parameter,
    query_parameters,
    reference,
)
from ops.http.routes.streaming import MEDIA_TYPE, NOTHING_NEW, RETRY_MS, EventStream, Follower, Slots
from ops.http.routing import backend_of, route

PATH = "/api/v1/events"
# Followers get live events at different moments; the moments are spread over this time for each follower.
SECONDS_FOR_EACH = 0.001
# How long a stream waits for a service that is being restored: browsers do not reconnect after a refusal.
ATTACHED_WITHIN_SECONDS = 30.0


class Follow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The place to begin at, and the events to follow: all, those of one table, or those of one stream."""

    after: str | None = None
    table: Key | None = None
    stream: str | None = None


async def follow(request: Request) -> Response:
    """The events, live or from any position, as server-sent events.

    They begin after `Last-Event-ID` or `after`; without either, with the next event.
    """
    wish = _wish(request)
    backend = backend_of(request)
    await backend.attached_within(ATTACHED_WITHIN_SECONDS)
    feed = backend.now.feed
    place = request.headers.get("last-event-id") or wish.after
    after = feed.head if place is None else feed.place_of(place)
    streams = pattern_of(wish.table, wish.stream)
    slots: Slots = request.app.state.event_streams
    phase = random() * min(PACE_SECONDS, slots.taken * SECONDS_FOR_EACH)
    return EventStream(request, _events(request, feed, after, streams, phase))


async def _events(
    request: Request, feed: EventFeed, after: int, streams: str, phase: float
) -> AsyncIterator[bytes]:
    follower, said = Follower(request), after
    is_live = after >= feed.reached
    yield f"retry: {RETRY_MS}\n\n".encode()
    while (has_more := await follower.wait(feed, after)) is not None:
        if not has_more:
            yield NOTHING_NEW
            continue
        if is_live:
            await asyncio.sleep(phase)
        piece = await feed.after(after, streams)
        if piece is None:
            await asyncio.sleep(PACE_SECONDS)
            continue
        after = piece.last
        if piece.count:
            said = after
            yield piece.frames
        elif after - said >= MAXIMUM_POSITIONS:
            # An id without an event, so that a reconnect does not search the skipped events again.
            said = after
            yield f"id: {feed.event_id(after)}\n\n".encode()
        is_live = after >= feed.reached


def _wish(request: Request) -> Follow:
    given = request.query_params.multi_items()
    if len(dict(given)) != len(given):
        raise Invalid("a parameter is there twice", path="$")
    try:
        wish = msgspec.convert(dict(given), Follow)
    except msgspec.ValidationError as error:
        raise codec.refusal_of(error, Follow, codec.encode(dict(given))) from None
    if wish.table is not None and wish.stream is not None:
        raise Invalid("either a table or a stream", path="$")
    return wish


_LAST_EVENT_ID = parameter(
    "Last-Event-ID",
    "header",
    {"type": "string", "pattern": r"^([0-9]{1,18}-)?[0-9]{1,18}$"},
    description="The id of the last event that was seen, as `1-41872`, or a position.",
)
# As OpenAPI 3.2 describes each of a stream's events.
_FRAMES = object_of(
    {
        "id": TEXT,
        "data": {"type": "string", "contentMediaType": JSON, "contentSchema": reference(ANY_EVENT)},
        "retry": {"type": "integer", "description": "milliseconds"},
    },
    required=(),
)

ROUTES = [
    route(
        PATH,
        follow,
        role="read",
        operation=Operation(
            "events.follow",
            "events",
            {200: answer("Each event once, in order, without an end.", _FRAMES, kind=MEDIA_TYPE)},
            parameters=[
                *query_parameters(described("follow", Follow, f"{SCHEMAS}{{name}}")[0]),
                _LAST_EVENT_ID,
            ],
            description=(
                "Nothing is left out. Who reads too slowly is cut off, and resumes with `Last-Event-ID`."
            ),
        ),
    )
]

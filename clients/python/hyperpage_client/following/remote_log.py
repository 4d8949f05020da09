"""The log as a client reads it: page by page, through the query `events.read`."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from hyperpage_client.documents import encode
from hyperpage_client.following.change_events import ChangeEvent, EventPage, decode_event_page

# Beyond every position: a page behind it is empty, and has the log's head.
_BEYOND = 2**62


def read_events(
    after: int, *, limit: int, table: str | None = None, stream: str | None = None
) -> dict[str, Any]:
    """The body of the query `events.read`."""
    asked = {"after": after, "limit": limit, "table": table, "stream": stream}
    return {name: value for name, value in asked.items() if value is not None}


class LogEnd(msgspec.Struct, frozen=True):
    """The last position of a store's log, and the timelines that led to it, each with its first position.

    Users who may not see all events are told these, too.
    """

    store_id: str
    timelines: tuple[tuple[int, int], ...]
    position: int

    @property
    def timeline(self) -> int:
        return self.timeline_at(self.position)

    def timeline_at(self, position: int) -> int:
        """The timeline of a position that is in the log."""
        return max(number for number, first in self.timelines if first <= max(position, 1))

    def first_newer(self, timeline: int) -> int:
        """The first position of a timeline newer than `timeline`, which there must be."""
        return min(first for number, first in self.timelines if number > timeline)


class RemoteLog:
    """Reads of the log; `ask` answers the query `events.read`, given its body."""

    def __init__(self, ask: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._ask = ask

    async def page(
        self, after: int, *, limit: int = 1_000, table: str | None = None, stream: str | None = None
    ) -> EventPage:
        """Events behind position `after`, in order; fewer than `limit` where they would not fit."""
        query = read_events(after, limit=limit, table=table, stream=stream)
        return decode_event_page(await self._ask(encode(query)))

    async def event_at(self, position: int) -> ChangeEvent | None:
        """The event at a position, if the log reaches as far."""
        page = await self.page(position - 1, limit=1)
        return page.items[0] if page.items else None

    async def end(self) -> LogEnd | None:
        """The end of the log; None while there is no event."""
        page = await self.page(_BEYOND, limit=1)
        if not page.head:
            return None
        return LogEnd(page.store_id, page.timelines, page.head)

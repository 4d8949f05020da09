"""The log as a client reads it: page by page, through the query `events.read`."""

from collections.abc import Awaitable, Callable

from bus.client.change_events import ChangeEvent, EventPage, decode_event_page
from bus.contract.codec import encode
from bus.contract.log_requests import ReadEvents

# Beyond every position: a page behind it is empty, and tells the head.
_BEYOND = 2**62


class RemoteLog:
    """Reads of the log; `ask` answers the query `events.read`, given its body."""

    def __init__(self, ask: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._ask = ask

    async def page(
        self, after: int, *, limit: int = 1_000, table: str | None = None, stream: str | None = None
    ) -> EventPage:
        """Events behind position `after`, in order; fewer than `limit` where they would not fit."""
        query = ReadEvents(after=after, limit=limit, table=table, stream=stream)
        return decode_event_page(await self._ask(encode(query)))

    async def event_at(self, position: int) -> ChangeEvent | None:
        """The event at a position, if the log reaches as far."""
        page = await self.page(position - 1, limit=1)
        return page.items[0] if page.items else None

    async def newest(self) -> ChangeEvent | None:
        """The last event; None while there is none."""
        while head := (await self.page(_BEYOND, limit=1)).head:
            event = await self.event_at(head)
            # It is None only if a restore cut the log back between the two questions.
            if event is not None:
                return event
        return None

    async def first_newer(self, timeline: int, last: ChangeEvent) -> ChangeEvent:
        """The first event of a timeline newer than `timeline`; `last` is a later one, such as the newest.

        Timelines never decrease along the log, so some twenty questions find it among a million events.
        """
        low, found = 1, last
        while low < found.position:
            middle = (low + found.position) // 2
            event = await self.event_at(middle)
            if event is not None and event.timeline > timeline:
                found = event
            else:
                low = middle + 1
        return found

"""The queries of `events`. Made by `make client`."""

from collections.abc import AsyncIterator

from hyperpage_client.answers.events import EventChain, FoundEvents
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.queries.table import ANSWER_SECONDS, Table, given


class EventsQueries(Table):
    """The queries of `events`."""

    def read(
        self,
        *,
        limit: int = 100,
        table: str | None = None,
        stream: str | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> AsyncIterator[ChangeEvent]:
        """Events after position `after`, of all tables, one table or one stream."""
        return self._items(
            "events.read", given(limit=limit, table=table, stream=stream), ChangeEvent, timeout_seconds
        )

    async def find(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        table: str | None = None,
        stream: str | None = None,
        type: str | None = None,
        correlation_id: str | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> FoundEvents:
        """Events before a position, the newest first, that match every field that is given."""
        return await self._ask(
            "events.find",
            given(
                before=before,
                limit=limit,
                table=table,
                stream=stream,
                type=type,
                correlation_id=correlation_id,
            ),
            FoundEvents,
            timeout_seconds,
        )

    async def chain(
        self,
        *,
        position: int | None = None,
        correlation_id: str | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> EventChain:
        """The event at a position, its causes, its effects, and all events with the same correlation id.

        With a `correlation_id` in place of the position: all events that have it.
        """
        return await self._ask(
            "events.chain",
            given(position=position, correlation_id=correlation_id),
            EventChain,
            timeout_seconds,
        )

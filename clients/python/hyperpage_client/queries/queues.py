"""The queries of `queues`. Made by `make client`."""

from collections.abc import AsyncIterator

from hyperpage_client.answers.queues import QueueRow
from hyperpage_client.answers.shared import Count
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.queries.table import ANSWER_SECONDS, Table, given


class QueuesQueries(Table):
    """The queries of `queues`."""

    async def get(self, name: str, *, timeout_seconds: float = ANSWER_SECONDS) -> QueueRow:
        """One queue."""
        return await self._ask("queues.get", given(name=name), QueueRow, timeout_seconds)

    def list(
        self, *, paused: bool | None = None, limit: int = 100, timeout_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[QueueRow]:
        """Queues that were paused or limited at least once, in the order of their names."""
        return self._items("queues.list", given(paused=paused, limit=limit), QueueRow, timeout_seconds)

    async def count(self, *, paused: bool | None = None, timeout_seconds: float = ANSWER_SECONDS) -> int:
        """Queues that were paused or limited at least once."""
        return (await self._ask("queues.count", given(paused=paused), Count, timeout_seconds)).count

    def history(
        self, name: str, *, after: int = 0, limit: int = 100, timeout_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[ChangeEvent]:
        """The events of one stream, a page at a time."""
        return self._items(
            "queues.history", given(name=name, after=after, limit=limit), ChangeEvent, timeout_seconds
        )

    async def as_of(
        self,
        name: str,
        *,
        position: int | None = None,
        time: int | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> QueueRow:
        """One row as it was at a position or a time."""
        return await self._ask(
            "queues.as_of", given(name=name, position=position, time=time), QueueRow, timeout_seconds
        )

"""The queries of `app_state`. Made by `make client`."""

from collections.abc import AsyncIterator

from hyperpage_client.answers.app_state import AppStateRow
from hyperpage_client.answers.shared import Count
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.queries.table import Table, given


class AppStateQueries(Table):
    """What is told of `app_state`."""

    async def get(self, key: str) -> AppStateRow:
        """What one key holds."""
        return await self._ask("app_state.get", given(key=key), AppStateRow)

    def list(self, *, prefix: str | None = None, limit: int = 100) -> AsyncIterator[AppStateRow]:
        """Keys with what they hold, in order: all, or those that begin with `prefix`."""
        return self._items("app_state.list", given(prefix=prefix, limit=limit), AppStateRow)

    async def count(self, *, prefix: str | None = None) -> int:
        """Keys that hold something: all, or those that begin with `prefix`."""
        return (await self._ask("app_state.count", given(prefix=prefix), Count)).count

    def history(self, key: str, *, after: int = 0, limit: int = 100) -> AsyncIterator[ChangeEvent]:
        """The events of one stream, a page at a time."""
        return self._items("app_state.history", given(key=key, after=after, limit=limit), ChangeEvent)

    async def as_of(self, key: str, *, position: int | None = None, time: int | None = None) -> AppStateRow:
        """One row as it was at a position or a time."""
        return await self._ask("app_state.as_of", given(key=key, position=position, time=time), AppStateRow)

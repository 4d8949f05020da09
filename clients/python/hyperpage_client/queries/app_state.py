"""The queries of `app_state`. Made by `make client`."""

from collections.abc import AsyncIterator

from hyperpage_client.answers.app_state import AppStateRow
from hyperpage_client.answers.shared import Count
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.queries.table import ANSWER_SECONDS, Table, given


class AppStateQueries(Table):
    """The queries of `app_state`."""

    async def get(self, key: str, *, timeout_seconds: float = ANSWER_SECONDS) -> AppStateRow:
        """The value of one key."""
        return await self._ask("app_state.get", given(key=key), AppStateRow, timeout_seconds)

    def list(
        self, *, prefix: str | None = None, limit: int = 100, timeout_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[AppStateRow]:
        """Keys with their values, in order: all, or those that begin with `prefix`."""
        return self._items("app_state.list", given(prefix=prefix, limit=limit), AppStateRow, timeout_seconds)

    async def count(self, *, prefix: str | None = None, timeout_seconds: float = ANSWER_SECONDS) -> int:
        """Keys that have a value: all, or those that begin with `prefix`."""
        return (await self._ask("app_state.count", given(prefix=prefix), Count, timeout_seconds)).count

    def history(
        self, key: str, *, after: int = 0, limit: int = 100, timeout_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[ChangeEvent]:
        """The events of one stream, a page at a time."""
        return self._items(
            "app_state.history", given(key=key, after=after, limit=limit), ChangeEvent, timeout_seconds
        )

    async def as_of(
        self,
        key: str,
        *,
        position: int | None = None,
        time: int | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> AppStateRow:
        """One row as it was at a position or a time."""
        return await self._ask(
            "app_state.as_of", given(key=key, position=position, time=time), AppStateRow, timeout_seconds
        )

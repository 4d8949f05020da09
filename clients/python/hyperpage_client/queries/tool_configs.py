"""The queries of `tool_configs`. Made by `make client`."""

from collections.abc import AsyncIterator

from hyperpage_client.answers.shared import Count
from hyperpage_client.answers.tool_configs import ToolConfigDiff, ToolConfigRow
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.queries.table import ANSWER_SECONDS, Table, given


class ToolConfigsQueries(Table):
    """The queries of `tool_configs`."""

    async def get(self, tool_name: str, *, timeout_seconds: float = ANSWER_SECONDS) -> ToolConfigRow:
        """The configuration of one tool."""
        return await self._ask("tool_configs.get", given(tool_name=tool_name), ToolConfigRow, timeout_seconds)

    def list(
        self,
        *,
        enabled: bool | None = None,
        notifications: bool | None = None,
        limit: int = 100,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> AsyncIterator[ToolConfigRow]:
        """Configurations that match the filters, in the order of the tools' names."""
        return self._items(
            "tool_configs.list",
            given(enabled=enabled, notifications=notifications, limit=limit),
            ToolConfigRow,
            timeout_seconds,
        )

    async def count(
        self,
        *,
        enabled: bool | None = None,
        notifications: bool | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> int:
        """Configurations that match the filters."""
        return (
            await self._ask(
                "tool_configs.count",
                given(enabled=enabled, notifications=notifications),
                Count,
                timeout_seconds,
            )
        ).count

    def history(
        self, tool_name: str, *, after: int = 0, limit: int = 100, timeout_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[ChangeEvent]:
        """The events of one stream, a page at a time."""
        return self._items(
            "tool_configs.history",
            given(tool_name=tool_name, after=after, limit=limit),
            ChangeEvent,
            timeout_seconds,
        )

    async def as_of(
        self,
        tool_name: str,
        *,
        position: int | None = None,
        time: int | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> ToolConfigRow:
        """One row as it was at a position or a time."""
        return await self._ask(
            "tool_configs.as_of",
            given(tool_name=tool_name, position=position, time=time),
            ToolConfigRow,
            timeout_seconds,
        )

    async def diff(
        self, tool_name: str, from_version: int, to_version: int, *, timeout_seconds: float = ANSWER_SECONDS
    ) -> ToolConfigDiff:
        """The changes of a tool's configuration between two versions; version 0 is before the first one.

        The changes are in the order of the paths. If one version is a deletion, everything in the other one
        counts as added or removed.
        """
        return await self._ask(
            "tool_configs.diff",
            given(tool_name=tool_name, from_version=from_version, to_version=to_version),
            ToolConfigDiff,
            timeout_seconds,
        )

"""The queries of `schedules`. Made by `make client`."""

from collections.abc import AsyncIterator

from hyperpage_client.answers.schedules import SchedulePreview, ScheduleRow
from hyperpage_client.answers.shared import Count
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.queries.table import ANSWER_SECONDS, Table, given


class SchedulesQueries(Table):
    """The queries of `schedules`."""

    async def get(self, id: str, *, timeout_seconds: float = ANSWER_SECONDS) -> ScheduleRow:
        """One schedule."""
        return await self._ask("schedules.get", given(id=id), ScheduleRow, timeout_seconds)

    def list(
        self, *, paused: bool | None = None, limit: int = 100, timeout_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[ScheduleRow]:
        """Schedules that match the filters, in the order of their ids."""
        return self._items("schedules.list", given(paused=paused, limit=limit), ScheduleRow, timeout_seconds)

    async def count(self, *, paused: bool | None = None, timeout_seconds: float = ANSWER_SECONDS) -> int:
        """Schedules that match the filters."""
        return (await self._ask("schedules.count", given(paused=paused), Count, timeout_seconds)).count

    def history(
        self, id: str, *, after: int = 0, limit: int = 100, timeout_seconds: float = ANSWER_SECONDS
    ) -> AsyncIterator[ChangeEvent]:
        """The events of one stream, a page at a time."""
        return self._items(
            "schedules.history", given(id=id, after=after, limit=limit), ChangeEvent, timeout_seconds
        )

    async def as_of(
        self,
        id: str,
        *,
        position: int | None = None,
        time: int | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> ScheduleRow:
        """One row as it was at a position or a time."""
        return await self._ask(
            "schedules.as_of", given(id=id, position=position, time=time), ScheduleRow, timeout_seconds
        )

    async def preview(
        self,
        *,
        every_ms: int | None = None,
        cron: str | None = None,
        time_zone: str = "UTC",
        count: int = 5,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> SchedulePreview:
        """The next times of a schedule with this interval or cron expression, if it was set now."""
        return await self._ask(
            "schedules.preview",
            given(every_ms=every_ms, cron=cron, time_zone=time_zone, count=count),
            SchedulePreview,
            timeout_seconds,
        )

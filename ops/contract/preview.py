"""`schedules.preview`: the times at which a schedule would run, before it is set."""

from collections.abc import Callable
from itertools import islice
from typing import Annotated, Any

import apsw
import msgspec

from bus.contract import codec
from bus.contract.rights import Rights
from bus.serving.queries.reading import QueryVerb
from bus.writing.cron import cron_time
from domain.errors import Invalid
from domain.messages import about
from domain.schedules import TABLE
from domain.schedules.messages import CronExpression, IntervalMs, TimeZone
from domain.schedules.times import Times, next_times


class PreviewSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next times of a schedule with this interval or cron expression, if it was set now."""

    every_ms: IntervalMs | None = None
    cron: CronExpression | None = None
    time_zone: TimeZone = "UTC"
    count: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5


class PlannedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A time at which a schedule would run, in milliseconds since the epoch."""

    run_at: int


class SchedulePreview(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule would run."""

    items: Annotated[tuple[PlannedRun, ...], about("the earliest one first")]


def preview_verb(clock: Callable[[], int]) -> QueryVerb:
    """The query; `clock` answers with milliseconds since the epoch."""

    def preview(_: apsw.Connection, query: PreviewSchedule, rights: Rights | None = None) -> bytes:
        if (query.every_ms is None) == (query.cron is None):
            raise Invalid("either every_ms or cron", path="$")
        times = Times(every_ms=query.every_ms, cron=query.cron, time_zone=query.time_zone)
        # As if the schedule was resumed now, so that its times begin with the present.
        following = next_times(times, None, clock(), cron_time, paused=True)
        planned = tuple(PlannedRun(run_at=at) for at in islice(following, query.count))
        return codec.encode(SchedulePreview(items=planned))

    answer: Any = preview
    # It reads no rows, so users of limited rights may ask it, too. It is a query with a reader's thread,
    # since some expressions take long.
    return QueryVerb(
        name=f"{TABLE}.preview", shape=PreviewSchedule, gives=SchedulePreview, answer=answer, limited=answer
    )

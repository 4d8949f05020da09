"""Schedules, their next runs and their last ones: `schedules.html`, `schedule.html`."""

from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.responses import Response

from bus.writing.cron import cron_time, zone_of
from domain.errors import Invalid, NotFound
from domain.jobs.limits import DEFAULT_PRIORITY, DEFAULT_QUEUE
from domain.schedules.times import Times, next_times
from ops.console.rendering import PREFIX
from ops.console.routing import action, page
from ops.console.shown_events import Shown
from ops.console.visit import Visit

PAGE_ROWS = 100
PATH = f"{PREFIX}/schedules"
HISTORY_EVENTS = 50
NEXT_RUNS = 5
# For how many runs the page shows the state of their jobs.
LAST_RUNS = 10
# The notice after each verb.
DONE = {
    "trigger": "A job was made: {id}",
    "pause": "The schedule makes no jobs until it is resumed",
    "resume": "The schedule makes jobs again",
    "delete": "The schedule {key} is gone; its jobs stay",
}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A time of a schedule, and the job that was made for it; `job_id` is `None` if the time was missed."""

    event: Shown
    due_at: int
    job_id: str | None


async def show_schedules(visit: Visit) -> Response:
    """The schedules in the order of their ids: all, the paused ones, or the active ones."""
    given = {"paused": visit.parameter("paused")}
    is_paused = {"yes": True, "no": False}.get(given["paused"] or "")
    after = visit.parameter("after")
    listed = await visit.query("schedules.list", paused=is_paused, after=after, limit=PAGE_ROWS)
    total = (await visit.query("schedules.count"))["count"]
    paused = (await visit.query("schedules.count", paused=True))["count"]
    return visit.render(
        "schedules/schedules.html",
        schedules=[_with_defaults(row) for row in listed["items"]],
        next=listed["next"],
        given=given,
        choices=(("", "all", total), ("no", "active", total - paused), ("yes", "paused", paused)),
        is_first=after is None,
    )


async def show_schedule(visit: Visit) -> Response:
    """One schedule: its job and times, the state of its last jobs, and its history."""
    key = visit.request.path_params["key"]
    row = await visit.row("schedules.get", id=key)
    events, has_more = await visit.history("schedules", key, HISTORY_EVENTS)
    if row is None and not events:
        raise NotFound(f"there is no schedule {key[:200]}")
    following: list[tuple[int, str | None]] = []
    problem = None
    try:
        following = [] if row is None else upcoming(row, visit.now_ms)
    except Invalid as refusal:
        # This machine lacks the time zone, which the one that stored the schedule had.
        problem = refusal.message
    runs = _runs(events)[:LAST_RUNS]
    return visit.render(
        "schedules/schedule.html",
        key=key,
        row=None if row is None else _with_defaults(row),
        following=following,
        problem=problem,
        runs=runs,
        jobs=await visit.jobs(run.job_id for run in runs if run.job_id is not None),
        events=events,
        has_more=has_more,
    )


async def change_schedule(visit: Visit) -> Response:
    """Has a job made at once, or pauses, resumes or deletes a schedule."""
    key = visit.request.path_params["key"]
    verb = visit.form.verb(DONE, "a schedule is triggered, paused, resumed or deleted here")
    answer = await visit.command(f"schedules.{verb}", {"id": key})
    visit.tell(DONE[verb].format(key=key, **(answer["result"] or {})))
    return visit.go(PATH if verb == "delete" else visit.here)


def _with_defaults(row: dict[str, Any]) -> dict[str, Any]:
    """A schedule's row, with the defaults for the job's fields that it leaves out."""
    return row | {"job": {"queue": DEFAULT_QUEUE, "priority": DEFAULT_PRIORITY, **row["job"]}}


def upcoming(schedule: dict[str, Any], now: int) -> list[tuple[int, str | None]]:
    """The next times of a schedule, each also as text in the time zone of its cron expression.

    The text is `None` for UTC, and for a schedule without a cron expression.

    Raises:
        Invalid: this machine lacks the time zone.
    """
    times = msgspec.convert(schedule, Times)
    zone = None if times.cron is None or times.time_zone == "UTC" else zone_of(times.time_zone)
    at = schedule["next_run_at"]
    following = next_times(times, at, now, cron_time, paused=schedule["paused"])
    return [(at, None if zone is None else _local(at, zone)) for at in islice(following, NEXT_RUNS)]


def _local(at: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at / 1_000, zone):%a %Y-%m-%d %H:%M:%S %Z}"


def _runs(events: list[Shown]) -> list[Run]:
    """The past times of a schedule, missed ones included, and the jobs triggered by hand, newest first."""
    return [
        Run(event=event, due_at=event.data.get("due_at", event.at), job_id=event.data.get("job_id"))
        for event in events
        if event.change in ("ran", "skipped", "triggered")
    ]


ROUTES = [
    page("/schedules", show_schedules),
    page("/schedules/{key:path}", show_schedule),
    action("/schedules/{key:path}", change_schedule),
]

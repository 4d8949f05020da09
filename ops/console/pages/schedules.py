"""Schedules, their next runs and their last ones: `schedules.html`, `schedule.html`."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.responses import Response

from bus.writing.cron import cron_time, zone_of
from domain.errors import Invalid, NotFound
from ops.console.rendering import PREFIX
from ops.console.routing import action, page
from ops.console.shown_events import Shown
from ops.console.visit import Visit

PAGE_ROWS = 100
PATH = f"{PREFIX}/schedules"
HISTORY_EVENTS = 50
NEXT_RUNS = 5
# Of how many runs the page says what became of their jobs: each is a question of its own.
LAST_RUNS = 10
# What the page says once a verb was carried out.
DONE = {
    "trigger": "A job was made: {id}",
    "pause": "The schedule makes no jobs until it is resumed",
    "resume": "The schedule makes jobs again",
    "delete": "The schedule {key} is gone; its jobs stay",
}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A time of a schedule, and the job that was made for it: `job_id` is `None` where it was missed.

    `job` is its row, `None` of one that was archived.
    """

    event: Shown
    due_at: int
    job_id: str | None
    job: dict[str, Any] | None = None


async def show_schedules(visit: Visit) -> Response:
    """The schedules by their ids, all or those that are paused or are not."""
    given = {"paused": visit.parameter("paused")}
    is_paused = {"yes": True, "no": False}.get(given["paused"] or "")
    after = visit.parameter("after")
    listed = await visit.query("schedules.list", paused=is_paused, after=after, limit=PAGE_ROWS)
    total = (await visit.query("schedules.count"))["count"]
    paused = (await visit.query("schedules.count", paused=True))["count"]
    return visit.render(
        "schedules/schedules.html",
        schedules=listed["items"],
        next=listed["next"],
        given=given,
        choices=(("", "all", total), ("no", "active", total - paused), ("yes", "paused", paused)),
        is_first=after is None,
    )


async def show_schedule(visit: Visit) -> Response:
    """One schedule: what it makes and when, what became of its last jobs, and its history."""
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
        # Another machine knew the time zone.
        problem = refusal.message
    return visit.render(
        "schedules/schedule.html",
        key=key,
        row=row,
        following=following,
        problem=problem,
        runs=[await _with_job(visit, run) for run in _runs(events)[:LAST_RUNS]],
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


def upcoming(schedule: dict[str, Any], now: int) -> list[tuple[int, str | None]]:
    """The next times of a schedule, each with how the time zone of its cron expression spells it; not UTC.

    Of a paused one, those that it would have if it were resumed now.

    Raises:
        Invalid: nobody here knows the time zone.
    """
    every_ms, cron, time_zone = schedule["every_ms"], schedule["cron"], schedule["time_zone"]
    zone = None if cron is None or time_zone == "UTC" else zone_of(time_zone)

    def behind(at: int) -> int | None:
        return at + every_ms if cron is None else cron_time(cron, time_zone, at)

    at = schedule["next_run_at"]
    if schedule["paused"] and at is not None and at <= now:
        # What passes while it is paused does not count, and an interval stays in step.
        at = behind(now if cron is not None else at + (now - at) // every_ms * every_ms)
    times: list[tuple[int, str | None]] = []
    while at is not None and len(times) < NEXT_RUNS:
        times.append((at, None if zone is None else _local(at, zone)))
        at = behind(at)
    return times


def _local(at: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at / 1_000, zone):%a %Y-%m-%d %H:%M:%S %Z}"


def _runs(events: list[Shown]) -> list[Run]:
    """The times that came or were missed, and what was made by hand, newest first."""
    return [
        Run(event=event, due_at=event.data.get("due_at", event.at), job_id=event.data.get("job_id"))
        for event in events
        if event.change in ("ran", "skipped", "triggered")
    ]


async def _with_job(visit: Visit, run: Run) -> Run:
    if run.job_id is None:
        return run
    return msgspec.structs.replace(run, job=await visit.row("jobs.get", id=run.job_id))


ROUTES = [
    page("/schedules", show_schedules),
    page("/schedules/{key:path}", show_schedule),
    action("/schedules/{key:path}", change_schedule),
]

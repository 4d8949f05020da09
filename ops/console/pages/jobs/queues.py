"""Queues, pausing, resuming and limiting them: `queues.html`, `queue.html`."""

from collections import Counter
from typing import Any

from starlette.responses import Response

from domain.errors import Invalid
from domain.jobs.state import IDLE
from domain.limiting import MAXIMUM_CONCURRENCY, MAXIMUM_RATE, MAXIMUM_RATE_WINDOW_MS
from ops.console.pages.jobs.board import STATES
from ops.console.rendering import PREFIX
from ops.console.routing import action, page
from ops.console.visit import Visit, whole_number
from ops.http.forms import Form
from projections.jobs.statistics import MAXIMUM_QUEUES, of_no_jobs, outcomes

PAGE_ROWS = 100
# How many paused queues are read: one without jobs gets into the list in no other way.
MAXIMUM_PAUSED = 5_000
PATH = f"{PREFIX}/queues"
HISTORY_EVENTS = 50
# How old the chart may be. It has a point a minute, and reads all attempts of an hour.
CHART_SECONDS = 60.0
DONE = {
    "pause": ("jobs.pause_queue", "is paused: none of its jobs is handed out"),
    "resume": ("jobs.resume_queue", "hands out its jobs again"),
    "limit": ("jobs.limit_queue", "has these limits from now on"),
}


async def show_queues(visit: Visit) -> Response:
    """The queues that have jobs or are paused, by name: their waiting jobs, and the last hour's attempts."""
    text, after = visit.parameter("text"), visit.parameter("after") or ""
    answer = await visit.shared_query("jobs.stats", percentiles=False)
    statistics = answer["queues"]
    paused = await _paused(visit)
    names = sorted(name for name in {*statistics, *paused} if (text or "").lower() in name.lower())
    shown = [name for name in names if name > after]
    rows = [_queue(name, statistics.get(name), paused.get(name)) for name in shown[:PAGE_ROWS]]
    return visit.render(
        "queues/queues.html",
        queues=rows,
        count=len(names),
        paused_count=(await visit.query("queues.count", paused=True))["count"],
        chart=await _chart(visit, None),
        left_out=answer["queues_left_out"],
        text=text,
        is_first=not after,
        next=rows[-1]["name"] if len(shown) > PAGE_ROWS else None,
    )


async def show_queue(visit: Visit) -> Response:
    """One queue: its jobs by state, overdue jobs, the last hour's attempts, and when it was paused."""
    name = visit.request.path_params["key"]
    statistics = (await visit.shared_query("jobs.stats", queue=name))["queues"]
    row = await visit.row("queues.get", name=name)
    events, has_more = await visit.history("queues", name, HISTORY_EVENTS)
    queue = _queue(name, statistics.get(name), row if row and row["paused"] else None)
    return visit.render(
        "queues/queue.html",
        queue=queue | {"by": next((one.actor for one in events if one.change == "paused"), None)},
        limits={name: (row or {}).get(name) for name in ("concurrency", "rate")},
        maximum_concurrency=MAXIMUM_CONCURRENCY,
        maximum_rate=MAXIMUM_RATE,
        maximum_window_ms=MAXIMUM_RATE_WINDOW_MS,
        states=STATES,
        chart=await _chart(visit, name),
        events=events,
        has_more=has_more,
    )


async def change_queue(visit: Visit) -> Response:
    """Pauses a queue, resumes it, or sets its limits."""
    name = visit.request.path_params["key"]
    verb = visit.form.verb(DONE, "a queue is paused, resumed or limited")
    command, said = DONE[verb]
    more: dict[str, Any] = visit.form.given("reason") if verb == "pause" else {}
    if verb == "limit":
        more = _limits(visit.form)
    await visit.command(command, {"queue": name, **more})
    visit.tell(f"The queue {name} {said}")
    return visit.go(visit.here)


def _limits(form: Form) -> dict[str, Any]:
    """The limits that a form gives; an empty field stands for no limit."""
    given = {
        name: whole_number(text, f"{problem} is a number", path=name)
        for name, problem in (
            ("concurrency", "how many jobs run at once"),
            ("rate", "how many attempts begin"),
            ("window_ms", "the window"),
        )
        if (text := form.text(name))
    }
    if ("rate" in given) != ("window_ms" in given):
        missing = "rate" if "window_ms" in given else "window_ms"
        raise Invalid("a rate is so many attempts within a window: it needs both", path=missing)
    limits: dict[str, Any] = {"concurrency": given.get("concurrency")}
    if "rate" in given:
        limits["rate"] = {"limit": given["rate"], "window_ms": given["window_ms"]}
    return limits


async def _paused(visit: Visit) -> dict[str, Any]:
    """The rows of the paused queues by name. An answer may hold fewer rows than asked for, so this loops."""
    rows: dict[str, Any] = {}
    after: str | None = None
    while len(rows) < MAXIMUM_PAUSED:
        listed = await visit.query("queues.list", paused=True, after=after, limit=MAXIMUM_QUEUES)
        rows |= {row["name"]: row for row in listed["items"]}
        if (after := listed["next"]) is None:
            break
    return rows


async def _chart(visit: Visit, queue: str | None) -> dict[str, Any]:
    """The chart of completed and failed attempts in the last hour, minute by minute."""
    answer = await visit.shared_query("jobs.throughput", CHART_SECONDS, queue=queue)
    parts = [outcomes(part) for part in answer["parts"]]
    return {
        "whole": True,
        "x": [(answer["since"] + (number + 1) * answer["part_ms"]) / 1_000 for number in range(len(parts))],
        "series": [
            {"label": "completed", "values": [part["completed"] for part in parts], "fill": True},
            {"label": "failed", "values": [part["failed"] for part in parts], "colour": "bad"},
        ],
    }


def _queue(name: str, statistics: dict[str, Any] | None, paused: dict[str, Any] | None) -> dict[str, Any]:
    """The values of a queue on both pages; `paused` is the queue's row if it is paused."""
    known = of_no_jobs() if statistics is None else statistics
    states = Counter(known["states"])
    return known | {
        "name": name,
        "paused": paused,
        "by": None,
        "states": states,
        "waiting": sum(states[state] for state in IDLE),
        **outcomes(known["attempts"]),
    }


ROUTES = [
    page("/queues", show_queues),
    page("/queues/{key:path}", show_queue),
    action("/queues/{key:path}", change_queue),
]

"""Rate limits: the calls left, and when they run out: `rate_limits.html`, `rate_limit.html`."""

from typing import Any, get_args

from starlette.responses import Response

from domain.errors import Invalid, NotFound
from domain.rate_limits.messages import parts_of
from domain.rate_limits.state import RateLimitLevel
from ops.console.routing import action, page
from ops.console.shown_events import Shown
from ops.console.visit import Visit

PAGE_ROWS = 100
# How many of a limit's last events its chart shows, and how many of those its time line.
CHART_EVENTS = 500
TIMELINE_EVENTS = 30
LEVELS = get_args(RateLimitLevel)
_MINUTE_MS = 60_000
MAXIMUM_THROTTLE_MINUTES = 7 * 24 * 60


async def show_rate_limits(visit: Visit) -> Response:
    """All known limits, with their levels and the calls left."""
    given = {name: visit.parameter(name) for name in ("platform", "level")}
    listed = await visit.query("rate_limits.list", **given, after=visit.parameter("after"), limit=PAGE_ROWS)
    return visit.render(
        "rate_limits/rate_limits.html",
        limits=listed["items"],
        next=listed["next"],
        given=given,
        levels=LEVELS,
        is_first=visit.parameter("after") is None,
    )


async def show_rate_limit(visit: Visit) -> Response:
    """One limit: its policies, the calls left over time, and when they run out at the present rate."""
    key, names = _limit(visit)
    row = await visit.row("rate_limits.get", **names)
    events, has_more = await visit.history("rate_limits", key, CHART_EVENTS)
    if row is None and not events:
        raise NotFound(f"nothing is known of a limit {key[:200]}")
    forecast = await visit.query("rate_limits.forecast", **names)
    return visit.render(
        "rate_limits/rate_limit.html",
        key=key,
        row=row,
        forecast=forecast,
        may_call=await visit.query("rate_limits.may_call", **names),
        chart=_chart(events, row, forecast),
        events=events[:TIMELINE_EVENTS],
        has_more=len(events) > TIMELINE_EVENTS or has_more,
    )


async def change_rate_limit(visit: Visit) -> Response:
    """Throttles a limit, changes its thresholds, or clears it."""
    _, names = _limit(visit)
    body: dict[str, Any] = {name: part for name, part in names.items() if part is not None}
    match visit.form.text("verb"):
        case "throttle":
            minutes = _whole(visit, "minutes", MAXIMUM_THROTTLE_MINUTES)
            body["until"] = visit.now_ms + minutes * _MINUTE_MS
            body |= visit.form.given("reason")
            await visit.command("rate_limits.throttle", body)
            visit.tell(f"No calls for {minutes} min, for all who ask")
        case "thresholds":
            body |= {name: _whole(visit, name, 100) for name in ("warning_percent", "critical_percent")}
            await visit.command("rate_limits.set_thresholds", body)
            visit.tell("The thresholds are others from now on")
        case "clear":
            await visit.command("rate_limits.clear", body)
            visit.tell("What was known of the limit is forgotten")
        case _:
            raise Invalid("a limit is throttled, given thresholds, or cleared", path="verb")
    return visit.go(visit.here)


def _limit(visit: Visit) -> tuple[str, dict[str, str | None]]:
    """The key in the address, which may be the row's id, and the parts of the key by name."""
    key = visit.request.path_params["key"].removeprefix("ratelimit:")
    try:
        platform, resource, identifier = parts_of(key)
    except ValueError:
        raise NotFound(f"nothing is known of a limit {key[:200]}") from None
    return key, {"platform": platform, "resource": resource, "identifier": identifier}


def _whole(visit: Visit, name: str, most: int) -> int:
    said = visit.form.text(name)
    if not (said.isascii() and said.isdigit() and len(said) < 7 and 1 <= int(said) <= most):
        raise Invalid(f"{name.replace('_', ' ')} is a number from 1 to {most}", path=name)
    return int(said)


def _chart(
    events: list[Shown], row: dict[str, Any] | None, forecast: dict[str, Any]
) -> dict[str, Any] | None:
    """The chart of the calls left at each observation, and the forecast; `None` before two observations."""
    left: dict[int, int | None] = {
        event.data["observed_at"]: event.data.get("remaining")
        for event in reversed(events)
        if event.type.startswith("rate_limit.observed.")
    }
    if row is None or len(left) < 2:
        return None
    times = sorted(left)
    expected: dict[int, float | None] = {}
    last, rate = times[-1], forecast["burn_rate"]
    ends = [moment for moment in (forecast["runs_out_at"], row["reset_time"]) if moment is not None]
    if rate and left[last] is not None and ends and min(ends) > last:
        # The forecast ends when no calls are left, or when the window ends.
        minutes = (min(ends) - last) / _MINUTE_MS
        expected = {last: left[last], min(ends): max(0.0, left[last] - rate * minutes)}
    moments = sorted({*times, *expected})
    return {
        "x": [moment / 1_000 for moment in moments],
        "top": row["limit_total"] or 1,
        "series": [
            {"label": "left", "values": [left.get(moment) for moment in moments], "fill": True},
            {"label": "forecast", "values": [expected.get(moment) for moment in moments], "dash": [6, 4]},
        ],
    }


ROUTES = [
    page("/rate_limits", show_rate_limits),
    page("/rate_limits/{key:path}", show_rate_limit),
    action("/rate_limits/{key:path}", change_rate_limit),
]

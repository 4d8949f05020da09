"""The job board: `jobs.html`."""

from collections import Counter
from typing import get_args

from starlette.responses import Response

from domain.jobs.state import State
from ops.console.visit import Visit, page

PAGE_ROWS = 50
# In the order in which a job may meet them.
STATES = get_args(State)
FILTERS = ("state", "queue", "type", "tool", "tag")


async def show_board(visit: Visit) -> Response:
    """Jobs by what they are, the newest first, and how many of each state there are."""
    given = {name: visit.parameter(name) for name in FILTERS}
    browsed = await visit.query("jobs.browse", **given, after=visit.parameter("after"), limit=PAGE_ROWS)
    statistics = await visit.query("jobs.stats", queue=given["queue"])
    counts: Counter[str] = Counter()
    for queue in statistics["queues"].values():
        counts.update(queue["states"])
    return visit.render(
        "jobs.html",
        jobs=browsed["items"],
        next=browsed["next"],
        is_first=visit.parameter("after") is None,
        given=given,
        states=STATES,
        counts=counts,
        total=counts.total(),
    )


ROUTES = [page("/jobs", show_board)]

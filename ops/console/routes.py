"""The routes of the console: every page, and the files that pages load."""

from starlette.responses import Response

from domain.errors import NotFound
from ops.console import files
from ops.console.pages import (
    aggregates,
    audit,
    backups,
    cluster,
    configurations,
    dead_letters,
    events,
    login,
    overview,
    projections,
    proof,
    rate_limits,
    state,
    tail,
)
from ops.console.pages.jobs import board, enqueue, queues, schedules, workers
from ops.console.routing import page
from ops.console.visit import Visit


async def _nothing(_: Visit) -> Response:
    raise NotFound("there is no such page")


# The first path that matches answers. The path of a row matches every path below its table's.
ROUTES = (
    *files.ROUTES,
    *login.ROUTES,
    *overview.ROUTES,
    *enqueue.ROUTES,
    *board.ROUTES,
    *queues.ROUTES,
    *schedules.ROUTES,
    *workers.ROUTES,
    *events.ROUTES,
    *tail.ROUTES,
    *configurations.ROUTES,
    *rate_limits.ROUTES,
    *state.ROUTES,
    *backups.ROUTES,
    *projections.ROUTES,
    *dead_letters.ROUTES,
    *proof.ROUTES,
    *cluster.ROUTES,
    *audit.ROUTES,
    *aggregates.ROUTES,
    page("/{rest:path}", _nothing),
)

"""The known workers, and the jobs that they run now: `workers.html`."""

from starlette.responses import Response

from ops.console.routing import page
from ops.console.visit import Visit
from ops.http.routing import backend_of
from projections.jobs.statistics import outcomes

PAGE_ROWS = 100


async def show_workers(visit: Visit) -> Response:
    """The workers, the jobs that no worker takes, and the running jobs of all workers, or of one."""
    chosen, after = visit.parameter("worker"), visit.parameter("after")
    answer = await visit.shared_query("jobs.workers", worker=chosen)
    running = await visit.query("jobs.running", worker=chosen, after=after, limit=PAGE_ROWS)
    workers = [
        {"name": name, **worker, **outcomes(worker["attempts"])} for name, worker in answer["workers"].items()
    ]
    return visit.render(
        "workers.html",
        workers=workers[:PAGE_ROWS],
        left_out=max(0, len(workers) - PAGE_ROWS),
        since=answer["since"],
        until=answer["until"],
        chosen=chosen,
        unhandled=() if chosen else backend_of(visit.request).now.health.work.state.unhandled,
        jobs=running["items"],
        next=running["next"],
        is_first=after is None,
    )


ROUTES = [page("/workers", show_workers)]

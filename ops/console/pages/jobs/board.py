"""The job board, one job, and changing many at once: `jobs.html`, `job.html`, `jobs_bulk.html`."""

from collections import Counter
from typing import Any, get_args

from starlette.responses import Response

from domain.counting import counted
from domain.errors import Invalid, NotFound
from domain.jobs.state import FINISHED, IDLE, RETRYABLE, WAITING, State
from ops.console.rendering import PREFIX, with_parameters
from ops.console.routing import action, page
from ops.console.visit import Visit

PAGE_ROWS = 50
# How many answers a page asks for at most; each looks at up to 10,000 jobs.
BROWSED_PARTS = 10
# How many jobs one press of a button changes at most.
BULK_JOBS = 500
# How many of them the page shows before that.
SHOWN_OF_BULK = 50
# In the order in which a job may reach them.
STATES = get_args(State)
# `FILTERS` also choose the jobs of a bulk change; `text` only searches the board.
FILTERS = ("state", "queue", "type", "tool", "tag", "group_id")
BOARD_FILTERS = ("text", *FILTERS)
BULK = {"cancel": "jobs.cancel_many", "retry": "jobs.retry_many"}
# How many of the latest events a job's page shows; the stream browser has all.
TIMELINE_EVENTS = 100
ATTEMPTS = 100
# Fields that a page shows only after a press of a button.
HIDDEN = ("payload", "result")
# The notice after each verb for one job.
DONE = {
    "cancel": "The job is cancelled, or was asked to end",
    "retry": "The job will be tried again",
    "hold": "The job is held, and no worker gets it",
    "release": "The job may be claimed again",
}


async def show_board(visit: Visit) -> Response:
    """Jobs that match a filter, newest first, and how many there are in each state."""
    given = {name: visit.parameter(name) for name in BOARD_FILTERS}
    jobs, following = await _browse(visit, given)
    counts = await _by_state(visit, given)
    return visit.render(
        "jobs/jobs.html",
        jobs=jobs,
        next=following,
        # The cursor begins with the time of the last job that the query has looked at.
        looked_back_to=int(following.partition("-")[0]) if following else None,
        is_first=visit.parameter("after") is None,
        given=given,
        states=STATES,
        counts=counts,
        total=counts.total(),
    )


async def _browse(visit: Visit, given: dict[str, str | None]) -> tuple[list[dict[str, Any]], str | None]:
    """The jobs of a page, and the cursor of the next one.

    Each answer looks at a bounded number of jobs. If few of them match, the page asks again, so that rare and
    old jobs are found. The number of queries is bounded, since every open page reloads every few seconds.
    """
    jobs: list[dict[str, Any]] = []
    after = visit.parameter("after")
    for _ in range(BROWSED_PARTS):
        found = await visit.query("jobs.browse", **given, after=after, limit=PAGE_ROWS - len(jobs))
        jobs += found["items"]
        after = found["next"]
        if after is None or len(jobs) == PAGE_ROWS:
            break
    if visit.parameter("after") is None and given["text"] and not any(given[name] for name in FILTERS):
        # The text may be the id of a job, which is found at once, however old the job is.
        try:
            named = await visit.row("jobs.get", id=given["text"])
        except Invalid:
            # The text cannot be an id.
            named = None
        if named is not None:
            jobs = [named, *(one for one in jobs if one["id"] != named["id"])]
    return jobs, after


async def _by_state(visit: Visit, given: dict[str, str | None]) -> Counter[str]:
    """How many jobs are in each state; all filters but `state` count."""
    if any(given[name] for name in BOARD_FILTERS if name not in ("state", "queue")):
        said = await visit.shared_query("jobs.count", **(given | {"state": None}), by="state")
        return Counter({one["value"]: one["count"] for one in said["groups"]})
    # Cheaper: indexes answer this query without reading jobs.
    statistics = await visit.shared_query("jobs.stats", queue=given["queue"], percentiles=False)
    return Counter(statistics["total"]["states"])


async def show_bulk(visit: Visit) -> Response:
    """The jobs that cancelling or retrying would change; nothing is changed."""
    verb = visit.parameter("verb") or ""
    given = {name: visit.parameter(name) for name in FILTERS}
    result = (await visit.command(_command(verb), _body(given) | {"dry_run": True}))["result"]
    shown = result["ids"][:SHOWN_OF_BULK]
    found = await visit.jobs(shown)
    jobs = [found[one] for one in shown if one in found]
    return visit.render("jobs/jobs_bulk.html", verb=verb, given=given, jobs=jobs, **result)


async def change_many(visit: Visit) -> Response:
    """Cancels or retries the jobs that match a filter."""
    verb = visit.form.text("verb")
    given = {name: visit.form.text(name) or None for name in FILTERS}
    body = _body(given)
    if verb == "cancel":
        body |= visit.form.given("reason")
    result = (await visit.command(_command(verb), body))["result"]
    done = {"cancel": "cancelled, or asked to end", "retry": "retried"}[verb]
    said = [f"{counted(len(result['ids']), 'job was', 'jobs were')} {done}"]
    if result["skipped"]:
        said.append(f"{len(result['skipped'])} could not be")
    if result["remaining"]:
        said.append(f"{counted(result['remaining'], 'more is', 'more are')} like them")
    visit.tell("; ".join(said))
    return visit.go(with_parameters(f"{PREFIX}/jobs", given | {"state": None}))


def _command(verb: str) -> str:
    if verb not in BULK:
        raise Invalid("many jobs are cancelled or retried", path="verb")
    return BULK[verb]


def _body(given: dict[str, str | None]) -> dict[str, object]:
    return {
        "filter": {name: value for name, value in given.items() if value is not None},
        "limit": BULK_JOBS,
    }


async def show_job(visit: Visit) -> Response:
    """A job with its time line and attempts; an archived job has its time line alone."""
    key = visit.request.path_params["key"]
    job = await visit.row("jobs.get", id=key)
    events, has_more = await visit.history("jobs", key, TIMELINE_EVENTS)
    if job is None and not events:
        raise NotFound(f"there is no job {key[:200]}")
    asked = visit.parameter("show")
    concurrency = (job or {}).get("concurrency")
    return visit.render(
        "jobs/job.html",
        concurrency=concurrency,
        running=await _running(visit, concurrency["key"]) if concurrency else 0,
        rate=(job or {}).get("rate"),
        waits=job is not None and job["state"] in WAITING,
        key=key,
        job=job,
        events=events,
        has_more=has_more,
        group=await _group(visit, job),
        attempts=(await visit.query("jobs.attempts", id=key, limit=ATTEMPTS))["items"],
        verbs=_verbs(job),
        asked=asked if asked in HIDDEN else None,
        is_finished=job is None or job["state"] in FINISHED,
    )


async def _group(visit: Visit, job: dict[str, Any] | None) -> dict[str, Any] | None:
    """The progress of a job's group; `None` if the job has no group."""
    if job is None or "group_id" not in job:
        return None
    progress: dict[str, Any] = await visit.query("jobs.group", group_id=job["group_id"])
    return progress


async def change_job(visit: Visit) -> Response:
    """Carries out one of the verbs."""
    verb = visit.form.verb(DONE, "a job is cancelled, retried, held or released here")
    body = {"id": visit.request.path_params["key"]}
    if verb == "cancel":
        body |= visit.form.given("reason")
    await visit.command(f"jobs.{verb}", body)
    visit.tell(DONE[verb])
    return visit.go(visit.here)


async def _running(visit: Visit, key: str) -> int:
    """How many running jobs have this concurrency key."""
    answer = await visit.query("jobs.count", status="running", concurrency_key=key)
    count: int = answer["count"]
    return count


def _verbs(job: dict[str, Any] | None) -> list[str]:
    """The verbs that a job's state allows."""
    if job is None:
        return []
    state = job["state"]
    allowed = {
        "retry": state in RETRYABLE,
        "hold": state in IDLE and state != "held",
        "release": state == "held",
        "cancel": state not in FINISHED and not job["cancel_requested"],
    }
    return [verb for verb, is_allowed in allowed.items() if is_allowed]


ROUTES = [
    page("/jobs", show_board),
    page("/jobs/-/bulk", show_bulk, role="operate"),
    action("/jobs/-/bulk", change_many),
    page("/jobs/{key:path}", show_job),
    action("/jobs/{key:path}", change_job),
]

"""One job, its history, and what can be done with it: `job.html`."""

from typing import Any

from starlette.responses import Response

from domain.errors import NotFound
from domain.jobs.state import FINISHED, IDLE, RETRYABLE
from ops.console.routing import action, page
from ops.console.visit import Visit

# How many of the latest events are shown; the stream browser has all.
TIMELINE_EVENTS = 100
ATTEMPTS = 100
# Fields that stay behind a button until somebody asks.
HIDDEN = ("payload", "result")

# What the page says once a verb was carried out.
DONE = {
    "cancel": "The job is cancelled, or was asked to end",
    "retry": "The job will be tried again",
    "hold": "The job is held, and no worker gets it",
    "release": "The job may be claimed again",
}


async def show_job(visit: Visit) -> Response:
    """A job with its time line and attempts; of an archived one, the time line alone."""
    key = visit.request.path_params["key"]
    job = await visit.row("jobs.get", id=key)
    events, has_more = await visit.history("jobs", key, TIMELINE_EVENTS)
    if job is None and not events:
        raise NotFound(f"there is no job {key[:200]}")
    asked = visit.parameter("show")
    return visit.render(
        "job.html",
        key=key,
        job=job,
        events=events,
        has_more=has_more,
        attempts=(await visit.query("jobs.attempts", id=key, limit=ATTEMPTS))["items"],
        verbs=_verbs(job),
        asked=asked if asked in HIDDEN else None,
        is_finished=job is None or job["state"] in FINISHED,
    )


async def change_job(visit: Visit) -> Response:
    """Carries out one of the verbs."""
    verb = visit.form.verb(DONE, "a job is cancelled, retried, held or released here")
    body = {"id": visit.request.path_params["key"]}
    if verb == "cancel":
        body |= visit.form.given("reason")
    await visit.command(f"jobs.{verb}", body)
    visit.tell(DONE[verb])
    return visit.go(visit.here)


def _verbs(job: dict[str, Any] | None) -> list[str]:
    """The verbs that its state allows."""
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


ROUTES = [page("/jobs/{key:path}", show_job), action("/jobs/{key:path}", change_job)]

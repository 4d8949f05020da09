"""A form that enqueues a job: `enqueue.html`."""

from typing import Any

from starlette.responses import Response

from domain.errors import Refusal
from domain.jobs.limits import DEFAULT_MAXIMUM_ATTEMPTS, DEFAULT_PRIORITY, DEFAULT_QUEUE
from ops.console.rendering import stream_link
from ops.console.routing import action, page
from ops.console.typed import without_credentials
from ops.console.visit import Visit, said_of, whole_number
from ops.console.written import json_written, time_written

_EMPTY = {
    "type": "",
    "name": "",
    "queue": DEFAULT_QUEUE,
    "priority": str(DEFAULT_PRIORITY),
    "payload": "{}",
    "run_at": "",
    "max_attempts": str(DEFAULT_MAXIMUM_ATTEMPTS),
    "tags": "",
}


async def show_form(visit: Visit) -> Response:
    """A form with the defaults, and with the values that the address gives."""
    return _form(visit, {name: visit.parameter(name) or value for name, value in _EMPTY.items()})


async def enqueue(visit: Visit) -> Response:
    """Enqueues the job and goes to its page; if it is refused, shows the filled-in form and the reason."""
    filled_in = {name: visit.form.text(name) for name in _EMPTY}
    try:
        answer = await visit.command("jobs.enqueue", _body(filled_in))
    except Refusal as refusal:
        said = {name: without_credentials(written) for name, written in filled_in.items()}
        return _form(visit, said, refusal)
    visit.tell("The job is enqueued")
    return visit.go(stream_link(answer["stream"]))


def _form(visit: Visit, filled_in: dict[str, str], refusal: Refusal | None = None) -> Response:
    path = "" if refusal is None else str(refusal.details.get("path", ""))
    return visit.render(
        "jobs/enqueue.html",
        200 if refusal is None else refusal.number,
        said=filled_in,
        default_queue=DEFAULT_QUEUE,
        problem=None if refusal is None else said_of(refusal),
        # The name of the field in a path such as `$.tags[1]`.
        wrong=next((name for name in _EMPTY if path.removeprefix("$.").startswith(name)), None),
    )


def _body(filled_in: dict[str, str]) -> dict[str, Any]:
    """The form as the body of the command.

    Raises:
        Invalid: a field is wrong; `details.path` names it.
    """
    body: dict[str, Any] = {"type": filled_in["type"]}
    body |= {name: filled_in[name] for name in ("name", "queue") if filled_in[name]}
    for name, problem in (
        ("priority", "the priority is a number from 1 to 4"),
        ("max_attempts", "how often it is tried is a number"),
    ):
        if filled_in[name]:
            body[name] = whole_number(filled_in[name], problem, path=name)
    if filled_in["payload"]:
        problem = "the payload is not a JSON object"
        body["payload"] = json_written(filled_in["payload"], problem, path="payload", kind=dict[str, Any])
    if filled_in["run_at"]:
        body["run_at"] = time_written(filled_in["run_at"], path="run_at")
    return body | {"tags": [tag.strip() for tag in filled_in["tags"].split(",") if tag.strip()]}


ROUTES = [
    page("/jobs/-/new", show_form, role="operate"),
    action("/jobs/-/new", enqueue),
]

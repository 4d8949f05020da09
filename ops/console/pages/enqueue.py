"""A job by a form: `enqueue.html`."""

import re
from typing import Any

import msgspec
from starlette.responses import Response

from bus.contract import codec
from domain.errors import Invalid, Refusal
from domain.jobs.limits import DEFAULT_MAXIMUM_ATTEMPTS, DEFAULT_PRIORITY, DEFAULT_QUEUE
from ops.console.rendering import milliseconds, stream_link
from ops.console.routing import action, page
from ops.console.typed import without_credentials
from ops.console.visit import Visit, said_of, whole_number

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
# Where msgspec has stopped to read.
_BYTE = re.compile(r"\(byte (\d+)\)")


async def show_form(visit: Visit) -> Response:
    """An empty form, but for what the address says."""
    return _form(visit, {name: visit.parameter(name) or value for name, value in _EMPTY.items()})


async def enqueue(visit: Visit) -> Response:
    """Makes the job and leads to its page; else shows the form as it was filled in, and what is wrong."""
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
        # The field that a path such as `$.tags[1]` is about.
        wrong=next((name for name in _EMPTY if path.removeprefix("$.").startswith(name)), None),
    )


def _body(filled_in: dict[str, str]) -> dict[str, Any]:
    """The form as the body of the command.

    Raises:
        Invalid: a field is not what it is to be; `details.path` names it.
    """
    body: dict[str, Any] = {name: filled_in[name] for name in ("type", "name")}
    if filled_in["queue"]:
        body["queue"] = filled_in["queue"]
    for name, problem in (
        ("priority", "the priority is a number from 1 to 4"),
        ("max_attempts", "how often it is tried is a number"),
    ):
        if filled_in[name]:
            body[name] = whole_number(filled_in[name], problem, path=name)
    if filled_in["payload"]:
        body["payload"] = _payload(filled_in["payload"].encode())
    if filled_in["run_at"]:
        body["run_at"] = _time(filled_in["run_at"])
    return body | {"tags": [tag.strip() for tag in filled_in["tags"].split(",") if tag.strip()]}


def _payload(written: bytes) -> msgspec.Raw:
    """The payload as it was written: no number is rounded on the way.

    Raises:
        Invalid: it is no JSON object; the message says in which line.
    """
    try:
        codec.decode(dict[str, Any], written)
    except Invalid as refusal:
        said = _BYTE.sub(lambda found: _place(written[: int(found[1])]), refusal.message)
        message = f"the payload is not a JSON object: {said}"
        raise Invalid(message, hint=refusal.hint, path="payload") from None
    return msgspec.Raw(written)


def _place(before: bytes) -> str:
    """Where in a text the bytes before a place end, as editors count."""
    *lines, last = before.decode("utf-8", "ignore").split("\n")
    return f"in line {len(lines) + 1}, column {len(last) + 1}"


def _time(written: str) -> int:
    try:
        return milliseconds(written)
    except ValueError:
        raise Invalid("a time is written like 2026-11-26T08:00:00, in UTC", path="run_at") from None


ROUTES = [
    page("/jobs/-/new", show_form, role="operate"),
    action("/jobs/-/new", enqueue),
]

"""The bodies and ids of commands and queries that drivers send, made as cheaply as a client can.

Ids are `none`, `random` (UUIDs of version 4, as most programs make them: for the command and for its job), or
`ordered` (those of version 7, as ours does).
"""

import json
import uuid
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

COMMAND_ID = "Hyperpage-Command-Id"
JOB: dict[str, Any] = {
    "type": "sync",
    "name": "Sync a repository",
    "priority": 3,
    "payload": {"repository": "acme/site"},
}
BATCH = 100
KNOWN_JOBS = 1_000
Headers = dict[str, str] | None


class Content(NamedTuple):
    """A kind of request: its subject, the function that makes the next one, and the commands in each."""

    subject: str
    make: Callable[[], tuple[bytes, Headers]]
    weight: int = 1


def new_id(ids: str) -> str:
    """A fresh id of that kind."""
    if ids == "ordered":
        # Only the environment of a checkout has it.
        from hyperpage_client.identifiers import new_id as new_ordered_id

        return new_ordered_id()
    return str(uuid.uuid4())


def content(kind: str, ids: str) -> Content:
    """Requests of that kind: a verb, a query or a batch, as below."""
    match kind:
        case "enqueue" | "durable":
            return Content("hyperpage.cmd.v1.jobs.enqueue", _enqueue(ids))
        case "batch":
            return Content("hyperpage.cmd.v1.batch", lambda: (batch_of_jobs(ids), None), weight=BATCH)
        case "claim":
            numbers = count()
            return Content(
                "hyperpage.cmd.v1.jobs.claim",
                lambda: (b'{"worker":"w%d","lease_ms":3600000}' % (next(numbers) % 64), None),
            )
        case "configure":
            numbers = count()
            return Content(
                "hyperpage.cmd.v1.tool_configs.set",
                lambda: (
                    b'{"tool_name":"tool-%d","config":{"repositories":["acme/site"]}}' % next(numbers),
                    None,
                ),
            )
        case "observe":
            numbers = count()
            return Content(
                "hyperpage.cmd.v1.rate_limits.observe",
                lambda: (
                    b'{"platform":"platform-%d","remaining":4000,"limit":5000}' % next(numbers),
                    None,
                ),
            )
        case "list":
            return Content("hyperpage.qry.v1.jobs.list", lambda: (b'{"status":"completed","limit":20}', None))
        case "get":
            keys = count()
            return Content(
                "hyperpage.qry.v1.jobs.get",
                lambda: (b'{"id":"known-%d"}' % (next(keys) % KNOWN_JOBS), None),
            )
        case _:
            raise ValueError(kind)


def _enqueue(ids: str) -> Callable[[], tuple[bytes, Headers]]:
    body = json.dumps(JOB, separators=(",", ":")).encode()
    if ids == "none":
        return lambda: (body, None)
    rest = b'",' + body[1:]
    return lambda: (b'{"id":"' + new_id(ids).encode() + rest, {COMMAND_ID: new_id(ids)})


def batch_of_jobs(ids: str) -> bytes:
    """Commands that enqueue a hundred jobs, in one message."""
    commands: list[dict[str, Any]] = []
    for _ in range(BATCH):
        one: dict[str, Any] = {"command": "jobs.enqueue", "body": JOB}
        if ids != "none":
            one = {**one, "id": new_id(ids), "body": {"id": new_id(ids), **JOB}}
        commands.append(one)
    return json.dumps({"atomic": False, "commands": commands}, separators=(",", ":")).encode()


def batch_of_known_jobs() -> bytes:
    """Commands that enqueue the jobs that `get` asks for; sent again, they change nothing."""
    commands = [
        {"command": "jobs.enqueue", "id": f"known-{n}", "body": {"id": f"known-{n}", "hold": True, **JOB}}
        for n in range(KNOWN_JOBS)
    ]
    return json.dumps({"atomic": False, "commands": commands}, separators=(",", ":")).encode()

"""The adapter of the Python client with one fault, which its argument names."""

import asyncio
import json
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import conformance.adapter as right
from hyperpage_client import BatchCommand
from hyperpage_client.asking import connection
from hyperpage_client.asking.seen import Seen
from hyperpage_client.commands.jobs import Fail
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.contract.headers import COMMAND_ID
from hyperpage_client.contract.log_place import LogPlace
from hyperpage_client.identifiers import new_id
from hyperpage_client.transport.sending import RawMessage
from hyperpage_client.worker import attempt
from hyperpage_client.worker.handler import report_of

is_published = connection.ClientConnection._is_published
struct_of, follow = right.struct_of, right.Connection.follow


def under_new_ids(self: connection.ClientConnection, message: RawMessage) -> bool:
    subject, reply, body, headers = message
    if headers and COMMAND_ID in headers:
        headers = {**headers, COMMAND_ID: new_id()}
    return is_published(self, (subject, reply, body, headers))


async def without_one(self: right.Connection, line: right.Line, tell: right.Tell) -> None:
    def most(said: right.Line) -> None:
        # Cases call their keys so.
        if not said.get("event", {}).get("subject", "").endswith("-a"):
            tell(said)

    await follow(self, line, most)


async def each_twice(self: right.Connection, line: right.Line, tell: right.Tell) -> None:
    def twice(said: right.Line) -> None:
        tell(said)
        tell(said)

    await follow(self, line, twice)


def with_nulls(name: str, body: Any) -> dict[str, Any]:
    absent = {"priority": None, "queue": None} if name == "jobs.enqueue" else {}
    return {"command": name, "body": {**absent, **body}}


def without_nulls(name: str, body: Any) -> dict[str, Any]:
    return struct_of(name, {field: value for field, value in body.items() if value is not None})


def without_ids(one: BatchCommand) -> dict[str, Any]:
    return {"command": one.command, "body": one.body}


def the_last(self: Seen, answer: CommandAnswer) -> None:
    if answer.position is not None:
        self._newest = LogPlace(answer.timeline, answer.position)


def failed(ending: Any, job: Any) -> Any:
    return (
        Fail(id=job.id, lease=job.lease, error="the worker ends")
        if job.stop_reason
        else report_of(ending, job)
    )


def loads(text: str) -> Any:
    return json.JSONDecoder(parse_int=lambda digits: int(float(digits))).decode(text)


FAULTS: dict[str, AbstractContextManager[Any]] = {
    "none": nullcontext(),
    "a new id for each attempt": patch.object(connection.ClientConnection, "_is_published", under_new_ids),
    "an event is dropped": patch.object(right.Connection, "follow", without_one),
    "each event comes twice": patch.object(right.Connection, "follow", each_twice),
    "null is sent for what is absent": patch.object(right, "struct_of", with_nulls),
    "null is taken for absent": patch.object(right, "struct_of", without_nulls),
    "what was seen last counts": patch.object(Seen, "note_answer", the_last),
    "no pause is made": patch.object(connection, "_pause", lambda attempt, refusal: 0.01),
    "commands of a batch have no ids": patch("hyperpage_client.client.batch_item", without_ids),
    "numbers are doubles": patch("conformance.adapter.json.loads", loads),
    "a worker that ends fails its jobs": patch.object(attempt, "report_of", failed),
}

if __name__ == "__main__":
    with FAULTS[sys.argv[1]]:
        asyncio.run(right.Adapter("a wrong client", right.Connection).run(sys.stdin))

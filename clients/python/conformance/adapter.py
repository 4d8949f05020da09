"""The adapter of the Python client, for `hyperpage_client.testing.client_conformance`.

Its protocol is in docs/your-language.md.
"""

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from hyperpage_client import BatchCommand, ClosedError, PlaceLostError, Refusal, Unreachable, connect
from hyperpage_client.commands import app_state, jobs, rate_limits, schedules, tool_configs
from hyperpage_client.contract.commands import Command, CommandAnswer
from hyperpage_client.contract.subjects import escape
from hyperpage_client.errors import UnknownRefusal
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.tasks import cancel
from hyperpage_client.worker import JobContext, JobFailed, JobSnoozed, Worker

MODULES = (app_state, jobs, rate_limits, schedules, tool_configs)
STRUCTS: dict[str, type[Command]] = {
    one.command_name: one
    for module in MODULES
    for one in vars(module).values()
    if isinstance(one, type) and issubclass(one, Command) and one is not Command
}
ABOUT = ("command_id", "expected_version", "actor", "correlation_id", "causation_id", "traceparent")

Tell = Callable[[dict[str, Any]], None]
Line = dict[str, Any]


def struct_of(name: str, body: Any) -> dict[str, Any]:
    """A command as the client takes it: a struct where the body fits one, so that structs are tried, too."""
    try:
        return {"command": msgspec.convert(body, STRUCTS[name])}
    except (KeyError, msgspec.ValidationError):
        # A body that the types do not allow is sent as it is: the service has to refuse it.
        return {"command": name, "body": body}


def seconds_of(line: Line) -> Any:
    """The time for an answer, if the line has one."""
    return {"timeout_seconds": line["timeout_ms"] / 1000} if "timeout_ms" in line else {}


def about(line: Line) -> Any:
    """The fields that are sent with a command, beside its body."""
    return {name: line[name] for name in ABOUT if name in line} | seconds_of(line)


def error_of(error: Exception) -> Line:
    """An exception as the protocol has it."""
    match error:
        case UnknownRefusal(details={"code": code, **details}):
            return {"code": code, "message": error.message, "hint": error.hint, "details": details}
        case Refusal():
            said = {"message": error.message, "hint": error.hint, "details": error.details}
            return {"code": error.code, **said}
        case Unreachable():
            may_have_been = error.may_have_been_carried_out
            return {
                "code": "unreachable",
                "message": str(error),
                "may_have_been_carried_out": may_have_been,
                "command_id": error.command_id,
            }
        case PlaceLostError():
            return {"code": "place_lost"}
        case ClosedError():
            return {"code": "closed"}
    return {"code": "adapter", "message": repr(error)}


def event_of(event: ChangeEvent) -> Line:
    """An event as CloudEvents have it."""
    members: Line = msgspec.to_builtins(event)
    return {**members, "type": f"hyperpage.{event.type}"}


class Connection:
    """One client, with the followers and workers that were begun on it; `parts` is what it can do."""

    parts: tuple[str, ...] = (
        "reads_own_writes",
        "list",
        "batch",
        "durable",
        "follow",
        "follow_part",
        "work",
        "mirror",
        "credentials",
        "int64",
    )

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._client: Any = None
        self._begun: dict[int, Callable[[], Awaitable[None]]] = {}

    @property
    def client(self) -> Any:
        """The client, which is open: a `Client`, or something with its methods."""
        return self._client

    async def open(self, line: Line) -> Line:
        """Connects."""
        credentials = line.get("credentials")
        made = connect(line["url"], credentials=credentials, **seconds_of(line))
        self._client = await self._stack.enter_async_context(made)
        return {}

    async def close(self) -> Line:
        """Ends the client, and what was begun on it."""
        for number in tuple(self._begun):
            await self.stop({"begun": number})
        await self._stack.aclose()
        return {}

    async def command(self, line: Line) -> Any:
        """A command, and its answer."""
        return await self.client.send(**struct_of(line["command"], line["body"]), **about(line))

    async def batch(self, line: Line) -> Line:
        """Several commands, and the outcome of each."""
        commands = [
            BatchCommand(
                **struct_of(one["command"], one["body"]),
                command_id=one.get("id"),
                expected_version=one.get("expected_version"),
            )
            for one in line["commands"]
        ]
        outcomes = await self.client.send_batch(commands, atomic=line["atomic"], **seconds_of(line))
        return {"outcomes": [outcome_of(one) for one in outcomes]}

    async def query(self, line: Line) -> Any:
        """A query, and its answer."""
        return await self.client.query(line["query"], line["body"], **seconds_of(line))

    async def list(self, line: Line) -> Line:
        """All items of a query that is answered in pages."""
        table = line["query"].removesuffix(".list")
        return {"items": [one async for one in self.client.list(table, **line["body"])]}

    async def store(self, line: Line) -> Line:
        """Stores a durable command; returns its id."""
        struct = struct_of(line["command"], line["body"])
        return {"command_id": await self.client.send_durable(**struct, wait=False, **about(line))}

    async def stored_answer(self, line: Line) -> Any:
        """The answer to a durable command."""
        return await self.client.durable_answer(line["command_id"], **seconds_of(line))

    async def mirror(self, line: Line) -> Line:
        """The row in a KV bucket, which any client of NATS can read."""
        bucket = self.client.names.mirrors[line["table"]]
        values = await self.client.connection.nats.jetstream().key_value(bucket)
        from nats.js.errors import KeyNotFoundError

        try:
            found = await values.get(escape(line["key"]))
        except KeyNotFoundError:
            return {"row": None}
        return {"row": json.loads(found.value or b"null")}

    async def follow(self, line: Line, tell: Tell) -> None:
        """Tells of each event, until it is stopped."""
        filters = {name: line[name] for name in ("after", "table", "stream") if name in line}

        async def follow() -> None:
            try:
                async with self.client.subscribe(**filters) as events:
                    async for event in events:
                        tell({"event": event_of(event)})
            except (PlaceLostError, ClosedError, Refusal) as error:
                tell({"error": error_of(error)})

        task = asyncio.create_task(follow())
        self._begun[line["id"]] = partial(cancel, task)

    async def work(self, line: Line, tell: Tell) -> None:
        """Runs the jobs of a queue, until it is stopped."""
        handler = partial(done, tell)
        options = {name: line[name] for name in ("queue", "concurrency", "lease_ms")}
        # The same handler for each type; as a plain function, it is called in a thread.
        worker = Worker(self.client, dict.fromkeys(line["types"], handler), grace_seconds=0, **options)
        task = asyncio.create_task(worker.run())

        async def stop() -> None:
            worker.stop()
            await task

        self._begun[line["id"]] = stop

    async def stop(self, line: Line) -> Line:
        """Ends what was begun."""
        await self._begun.pop(line["begun"])()
        return {}


def outcome_of(one: CommandAnswer | Refusal) -> Line:
    """One outcome of a batch."""
    return {"error": error_of(one)} if isinstance(one, Refusal) else {"ok": one}


def done(tell: Tell, job: JobContext) -> Any:
    """A handler, in a thread, which does what its job's payload says."""
    tell({"began": {"job": job.id, "attempt": job.attempt}})
    payload = job.payload
    match payload["then"]:
        case "return":
            return payload["value"]
        case "raise":
            raise LookupError(payload["error"])
        case "fail":
            raise JobFailed(payload["error"], retryable=payload["retryable"])
        case "snooze" if time.time() * 1000 < payload["until"]:
            raise JobSnoozed(payload["until"])
        case "wait":
            if job.stopped_within(payload.get("ms", 3_600_000) / 1000):
                tell({"stopped": {"job": job.id, "reason": job.stop_reason}})
                job.raise_if_stopped()
            return payload["value"]
    return None


class Adapter:
    """Takes lines, and does what they say, several at once."""

    def __init__(self, name: str, kind: type[Connection]) -> None:
        self._name = name
        self._kind = kind
        self._connections: dict[int, Connection] = {}
        self._writing = threading.Lock()

    async def run(self, lines: Iterable[str]) -> None:
        """Returns after the last line."""
        under_way: set[asyncio.Task[None]] = set()
        while line := await asyncio.to_thread(next, iter(lines), ""):
            task = asyncio.create_task(self._take(json.loads(line)))
            under_way.add(task)
            task.add_done_callback(under_way.discard)

    async def _take(self, line: Line) -> None:
        try:
            answer = {"ok": await self._do(line)}
        except Exception as error:
            answer = {"error": error_of(error)}
        self._say(line, answer)

    async def _do(self, line: Line) -> Any:
        match line["do"]:
            case "hello":
                return {"client": self._name, "parts": self._kind.parts}
            case "connect":
                connection = self._kind()
                await connection.open(line)
                self._connections[line["id"]] = connection
                return {}
            case "close":
                return await self._connections.pop(line["on"]).close()
            case "follow" | "work" as what:
                await getattr(self._connections[line["on"]], what)(line, partial(self._say, line))
                return {}
            case what:
                return await getattr(self._connections[line["on"]], what)(line)

    def _say(self, line: Line, said: Line) -> None:
        content = msgspec.json.encode({"id": line["id"], **said})
        with self._writing:
            sys.stdout.buffer.write(content + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(Adapter("hyperpage_client, in Python", Connection).run(sys.stdin))

"""The clients of a run, with their commands and answers: everything that a judge needs."""

import asyncio
from functools import partial
from math import inf
from typing import Any

import msgspec

from domain.errors import Busy, Internal, Refusal, Unavailable
from hyperpage_client.asking.connection import ClientConnection, Unreachable
from hyperpage_client.client import Client
from hyperpage_client.contract.headers import COMMAND_ID, ERROR_CODE, EXPECTED_VERSION
from hyperpage_client.errors import read_refusal
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.identifiers import new_id
from tests.lab.keys import KEY_FIELDS, Wish, found, refused, wish
from tests.lab.linearizability import Operation
from tests.lab.registers import Accepted, Read
from tests.lab.simulation.scheduler import Scheduler
from tests.lab.simulation.service import NAMES

URL = "nats://model:4222"
KEYS = [
    ("app_state", "a"),
    ("app_state", "b"),
    ("tool_configs", "tool"),
    ("jobs", "job-1"),
    ("jobs", "job-2"),
]
# How long a client waits for an answer: sometimes less than a fault lasts.
PATIENCE_SECONDS = [0.5, 6.0, 20.0]


class Sent(msgspec.Struct):
    """A command with an id, and its answer, if there was one."""

    command_id: str
    name: str
    body: bytes
    headers: dict[str, str]
    answer: bytes | None = None
    # The code of a refusal that is certain.
    refused: str | None = None
    # True if it reached no service for certain, as the client reports.
    is_void: bool = False
    # How often a client waited for its answer.
    times: int = 0


class Stored(msgspec.Struct):
    """A durable command that the broker acknowledged; no other command has its `value`."""

    value: int
    sequence: int
    at: float
    sender: int


class Told:
    """All commands of the clients, with their answers."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.stored: list[Stored] = []
        # By id: when each durable command was sent that the broker acknowledged.
        self.kept: dict[str, float] = {}
        self.operations: dict[str, list[Operation]] = {}
        self.events: dict[int, list[ChangeEvent]] = {}
        self.repeated: list[tuple[Sent, bytes]] = []
        self.internal: list[str] = []
        self.values = 0

    def next_value(self) -> int:
        self.values += 1
        return self.values


class Application:
    """One client that sends commands, one after the other."""

    def __init__(self, scheduler: Scheduler, told: Told, number: int, count: int) -> None:
        self._scheduler = scheduler
        self._chance = scheduler.random
        self._told = told
        self._number = number
        self._count = count
        self._mine: list[Sent] = []
        self._versions: dict[str, int] = {}

    async def run(self) -> None:
        """Sends all its commands."""
        connection = await ClientConnection.open(
            URL, inbox_prefix="_INBOX", name=f"application {self._number}", timeout_seconds=60
        )
        self._connection = connection
        self._client = Client(connection, NAMES)
        for _ in range(self._count):
            await asyncio.sleep(self._chance.choice([0, 0.001, 0.01, 0.2]) * self._chance.random())
            kind = self._chance.choices(
                [
                    self._change,
                    self._read,
                    self._again,
                    self._store,
                    self._store_without_id,
                    self._batch,
                    self._once,
                ],
                [42, 16, 8, 12, 10, 4, 10],
            )[0]
            await kind()

    # Its acts.

    async def _change(self) -> None:
        table, key = self._chance.choices(KEYS, [3, 3, 2, 2, 2])[0]
        known = self._versions.get(f"{table}/{key}", 0)
        expected = self._chance.choice([None, None, None, known, known, 0])
        await self._command(wish(self._chance, table, key, self._told.next_value(), expected))

    async def _batch(self) -> None:
        items = [{"key": f"batch-{one}", "value": self._told.next_value()} for one in range(2)]
        await self._command(Wish("app_state", "", None, "app_state.set_many", {"items": items}))

    async def _once(self) -> None:
        """Sends a command once: a refusal then means that it is not stored."""
        headers = {COMMAND_ID: new_id()}
        body = msgspec.json.encode({"key": f"once-{self._number}", "value": self._told.next_value()})
        sent = Sent(headers[COMMAND_ID], "app_state.set", body, headers)
        subject = NAMES.command(sent.name)
        try:
            said = await self._connection.nats.request(subject, body, timeout=3.0, headers=headers)
        except Exception:  # its outcome is unknown
            return
        refusal = read_refusal(said.data) if ERROR_CODE in (said.headers or {}) else None
        if refusal is None:
            sent.answer = said.data
        elif refusal.details.get("outcome") == "unknown":
            return
        else:
            sent.refused = refusal.code
        self._told.sent.append(sent)

    async def _again(self) -> None:
        """Sends an earlier command once more, with its id."""
        # A refused command would count as a new one when it is sent again.
        mine = [one for one in self._mine if one.refused is None and not one.is_void]
        if not mine:
            return
        sent = self._chance.choice(mine[-4:])
        try:
            answer = await self._ask(sent, 6.0)
        except Refusal as refusal:
            if sent.answer is not None:
                self._told.repeated.append((sent, refusal.code.encode()))
            return
        if answer is not None and sent.answer is not None:
            self._told.repeated.append((sent, answer))
        elif answer is not None:
            sent.answer = answer

    async def _read(self) -> None:
        table, key = self._chance.choice(KEYS)
        stream, begin = f"{table}/{key}", self._scheduler.time
        try:
            row = await self._client.query(f"{table}.get", {KEY_FIELDS[table]: key}, timeout_seconds=3.0)
        except (Busy, Unavailable, Unreachable):
            return
        except Refusal as refusal:
            self._note_internal(refusal, f"{table}.get")
            self._note(stream, Read(), refused(refusal), begin)
            return
        self._versions[stream] = row["version"]
        self._note(stream, Read(), found(table, row), begin)

    async def _store(self) -> None:
        """Sends a durable command with an id; waits for its answer, or not."""
        value, key = self._told.next_value(), f"durable-{self._number}"
        command_id = new_id()
        body = {"key": key, "value": value}
        sending = partial(
            self._client.send_durable, "app_state.set", body, timeout_seconds=10.0, command_id=command_id
        )
        try:
            if self._chance.random() < 0.4:
                begin = self._scheduler.time
                await sending(wait=False)
                self._told.kept[command_id] = begin
                return
            answer = await sending()
        except (Unreachable, Refusal) as error:
            self._note_internal(error, "app_state.set")
            return
        sent = Sent(command_id, "app_state.set", msgspec.json.encode(body), {COMMAND_ID: command_id})
        sent.answer = msgspec.json.encode(answer)
        self._told.sent.append(sent)

    async def _store_without_id(self) -> None:
        """Sends some durable commands without an id, each once."""
        for _ in range(self._chance.choice([1, 1, 2, 4])):
            await self._store_one_without_id()

    async def _store_one_without_id(self) -> None:
        value, key = self._told.next_value(), f"nameless-{self._number}"
        body = msgspec.json.encode({"key": key, "value": value})
        subject = NAMES.durable_command("app_state.set")
        begin = self._scheduler.time
        try:
            said = await self._connection.nats.request(subject, body, timeout=2.0)
            sequence = msgspec.json.decode(said.data).get("seq", 0)
        except Exception:  # it may be stored or not
            return
        if sequence:
            self._told.stored.append(Stored(value, sequence, begin, self._number))

    # The ways to send.

    async def _command(self, one: Wish) -> None:
        headers = {COMMAND_ID: new_id()}
        if one.expected is not None:
            headers[EXPECTED_VERSION] = str(one.expected)
        sent = Sent(headers[COMMAND_ID], one.name, msgspec.json.encode(one.body), headers)
        self._told.sent.append(sent)
        self._mine.append(sent)
        begin, end = self._scheduler.time, inf
        answered: Any = None
        try:
            answer = await self._ask(sent, self._chance.choice(PATIENCE_SECONDS))
        except Refusal as refusal:
            answered, end = refused(refusal), self._scheduler.time
        else:
            if answer is not None:
                sent.answer = answer
                version = msgspec.json.decode(answer)["version"]
                self._versions[one.stream] = version
                answered, end = Accepted(version), self._scheduler.time
        if one.asked is not None and not sent.is_void:
            self._note(one.stream, one.asked, answered, begin, end)

    async def _ask(self, sent: Sent, within_seconds: float) -> bytes | None:
        """The answer; `None` if it is unknown.

        Raises:
            Refusal: it was refused for certain.
        """
        try:
            return await self._connection.ask(
                NAMES.command(sent.name), sent.body, sent.headers, within_seconds=within_seconds
            )
        except (Busy, Unavailable):
            return None
        except Unreachable as error:
            # The error says nothing about earlier tries under this id.
            sent.is_void = not (sent.times or error.may_have_been_carried_out)
            return None
        except Refusal as refusal:
            self._note_internal(refusal, sent.name)
            sent.refused = refusal.code
            raise
        finally:
            sent.times += 1

    def _note_internal(self, error: Exception, name: str) -> None:
        if isinstance(error, Internal):
            self._told.internal.append(f"{name}: {error}")

    def _note(self, stream: str, asked: Any, answered: Any, begin: float, end: float | None = None) -> None:
        end = self._scheduler.time if end is None else end
        self._told.operations.setdefault(stream, []).append(
            Operation(asked=asked, answered=answered, begin=begin, end=end)
        )


class Subscriber:
    """A subscriber to all events, which sometimes begins again behind the last one that it got."""

    def __init__(self, scheduler: Scheduler, told: Told, number: int) -> None:
        self._scheduler = scheduler
        self._number = number
        self.events: list[ChangeEvent] = []
        told.events[number] = self.events

    async def run(self) -> None:
        """Follows for ever."""
        connection = await ClientConnection.open(
            URL, inbox_prefix="_INBOX", name=f"subscriber {self._number}", timeout_seconds=60
        )
        client = Client(connection, NAMES)
        while True:
            after = self.events[-1].id if self.events else None
            async with client.subscribe(1, after=after) as following:
                for _ in range(self._scheduler.random.choice([5, 1_000_000])):
                    self.events.append(await anext(following))

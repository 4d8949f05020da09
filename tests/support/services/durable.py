"""An application that sends durable commands, with a look at the streams behind them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import quote

from bus.broker.users import RELAY, private_inbox
from tests.support.patience import until
from tests.support.services.raw_nats import Message, RawNats
from tests.support.services.serving import broker_of
from tests.support.services.talking import Talk

RESULTS = "HYPERPAGE_RESULTS"
COMMANDS = "HYPERPAGE_COMMANDS"
LETTERS = "HYPERPAGE_DLQ"
COMES_WITHIN_SECONDS = 60

T = TypeVar("T")


class Durable:
    """An application's side of durable commands, and the relay user's view of the streams behind them."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.heard: dict[str, list[Message]] = {}
        self.run = talk.run
        self.run(self.connect())

    async def connect(self) -> None:
        self.client = self.talk.client
        self.relay = await RawNats.connect(
            broker_of(self.talk.service).url_for(RELAY), inbox_prefix=f"{private_inbox(RELAY)}."
        )
        self._results = self.client.subscribe("hyperpage.res.v1.>")
        await self.client.flush()

    async def reconnect(self) -> None:
        """Connects again after nats-server was killed, which ended all connections."""
        await self.talk.connect()
        await self.connect()

    async def through_a_restart(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, which is done again if nats-server was restarted meanwhile.

        A restart may happen after a stream was deleted while it was written to: nats-server then reports a
        failed write, for which the service restarts it, since nothing else helps on a full disk.
        """
        is_lost = False
        while True:
            try:
                if is_lost:
                    await self.reconnect()
                    is_lost = False
                return await work()
            except ConnectionError:
                is_lost = True
                await asyncio.sleep(0.05)

    async def store(self, name: str | bytes, body: Any = b"{}", headers: Any = None) -> int:
        """Stores a command with JetStream; returns its sequence in the stream."""
        subject = b"hyperpage.dcmd.v1." + (name if isinstance(name, bytes) else name.encode())
        said = (await self.client.request(subject, body, headers)).said
        assert "error" not in said, said
        sequence: int = said["seq"]
        return sequence

    async def result(self, command_id: str) -> Message:
        """The next answer under an id."""
        token = escaped(command_id)
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            while not self.heard.get(token):
                message = await self._results.get()
                self.heard.setdefault(message.subject.removeprefix("hyperpage.res.v1."), []).append(message)
        return self.heard[token].pop(0)

    async def answer(self, name: str, body: Any, command_id: str, **headers: str) -> Message:
        """Stores a command, and returns its result."""
        await self.store(name, body, {"Hyperpage-Command-Id": command_id} | headers)
        return await self.result(command_id)

    async def next_result(self) -> Message:
        """The next answer, under any id."""
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            return await self._results.get()

    async def state(self, stream: str) -> Any:
        """The state of a stream, as JetStream reports it."""
        message = await self.relay.request(f"$JS.API.STREAM.INFO.{stream}")
        return message.said.get("state")

    async def api(self, subject: str, body: Any = b"") -> Any:
        said = (await self.relay.request(f"$JS.API.{subject}", body)).said
        assert "error" not in said, said
        return said

    async def kept_result(self, command_id: str) -> bytes:
        """The answer that the stream keeps, as an application reads it; it is sent before it is stored."""
        subject = f"hyperpage.res.v1.{escaped(command_id)}"

        async def stored() -> bytes:
            return (await self.client.request(f"$JS.API.DIRECT.GET.{RESULTS}.{subject}")).body

        await until(stored)
        return await stored()

    @property
    def results_waiting(self) -> int:
        return self._results.qsize()

    async def nothing_waits(self) -> None:
        async def is_empty() -> bool:
            return (await self.state(COMMANDS))["messages"] == 0

        await until(is_empty)

    async def letters(self) -> list[Any]:
        message = await self.talk.admin.request("hyperpage.adm.v1.dlq.list")
        assert message.code is None, message.body
        items: list[Any] = message.said["items"]
        return items


def escaped(command_id: str) -> str:
    """An id as the contract writes it: every byte outside [A-Za-z0-9_-] as =XX."""
    return quote(command_id, safe="").replace(".", "%2E").replace("~", "%7E").replace("%", "=")

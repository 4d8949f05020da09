"""The wire between a client and its service: it keeps what the client sends, and can disturb messages.

client ──▶ wire ──▶ the service's nats-server
             │ swallowed, answered in the service's place, an answer lost or changed, a delivery lost, cut off
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from hyperpage_client.documents import encode
from hyperpage_client.tasks import cancel
from hyperpage_client.testing.client_conformance.nats_messages import (
    MAXIMUM_LINE_BYTES,
    Frame,
    Message,
    delivered,
    matches,
    read_frame,
)

HOST = "127.0.0.1"
# How many messages are kept, for cases to look at; no case sends as many.
MAXIMUM_KEPT = 20_000


class Sent(msgspec.Struct, frozen=True):
    """A message that the client sent, and when: by the monotonic clock, in seconds."""

    at: float
    message: Message


class Disturbance:
    """Something that happens to messages on a wire `times` times; `struck` is how often it has happened."""

    def __init__(self, subject: str, times: int) -> None:
        self._subject = subject
        self._left = times
        self.struck = 0

    def meets(self, message: Message) -> bool:
        """Whether it strikes a message that the client sends."""
        return self._left > 0 and matches(self._subject, message.subject)

    def strike(self) -> None:
        """Counts one strike."""
        self._left -= 1
        self.struck += 1

    def end(self) -> None:
        """Strikes no more."""
        self._left = 0

    def sent(self, message: Message) -> Message | None:
        """The message to pass on for one of the client: itself, `None`, or an answer without a subject."""
        return message

    def came(self, message: Message) -> Message | None:
        """The message to pass on for one to the client: itself, `None`, or another one."""
        return message


class Swallowed(Disturbance):
    """Messages to that subject are lost."""

    def sent(self, message: Message) -> Message | None:
        if not self.meets(message):
            return message
        self.strike()
        return None


class Answered(Disturbance):
    """Messages to that subject are answered by the wire, and go no further."""

    def __init__(self, subject: str, times: int, headers: dict[str, str], body: Any) -> None:
        super().__init__(subject, times)
        self._answer = Message(subject="", headers=headers, body=b"" if body is None else encode(body))

    def sent(self, message: Message) -> Message | None:
        if not self.meets(message):
            return message
        self.strike()
        return self._answer


class AnswerChanged(Disturbance):
    """Answers to messages to that subject are replaced by what `change` makes of them; `None`: lost."""

    def __init__(self, subject: str, times: int, change: Callable[[Message], Message | None]) -> None:
        super().__init__(subject, times)
        self._change = change
        self._replies: list[str] = []

    def sent(self, message: Message) -> Message | None:
        if self.meets(message) and message.reply:
            self._replies.append(message.reply)
        return message

    def came(self, message: Message) -> Message | None:
        if self._left <= 0 or message.subject not in self._replies:
            return message
        self._replies.remove(message.subject)
        self.strike()
        return self._change(message)


class DeliveryLost(Disturbance):
    """Messages for the client that hold that text are lost, except pages of the log."""

    def __init__(self, holds: str, times: int) -> None:
        super().__init__(">", times)
        self._holds = holds.encode()

    def came(self, message: Message) -> Message | None:
        if self._left <= 0 or self._holds not in message.body or message.body.startswith(b'{"items"'):
            return message
        self.strike()
        return None


D = TypeVar("D", bound=Disturbance)


class Wire:
    """A wire from `open` to `close`. `upstream` is the service's address now, which may change."""

    def __init__(self, upstream: Callable[[], str]) -> None:
        self.sent: list[Sent] = []
        # The next connections are refused, each with one of these texts, which may be empty.
        self.refusals: list[bytes] = []
        self._upstream = upstream
        self._disturbances: list[Disturbance] = []
        self._server: asyncio.Server | None = None
        self._port = 0
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The address for the client, with the service's credentials."""
        url = urlsplit(self._upstream())
        credentials, at, _ = url.netloc.rpartition("@")
        return urlunsplit(url._replace(netloc=f"{credentials}{at}{HOST}:{self._port}"))

    @property
    def bare_url(self) -> str:
        """The same without credentials."""
        return f"nats://{HOST}:{self._port}"

    async def open(self) -> None:
        """Takes connections, from now on or again."""
        self._server = await asyncio.start_server(
            self._take, HOST, self._port, limit=MAXIMUM_LINE_BYTES, reuse_address=True
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Takes no more connections, and cuts those that are open."""
        if self._server is not None:
            self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Cuts the open connections; the client may connect again."""
        await asyncio.gather(*map(cancel, tuple(self._carrying)))

    def disturb(self, disturbance: D) -> D:
        """Has a disturbance strike from now on."""
        self._disturbances.append(disturbance)
        return disturbance

    def sent_to(self, subject: str) -> list[Sent]:
        """The messages that the client has sent to matching subjects."""
        return [one for one in self.sent if matches(subject, one.message.subject)]

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(self._upstream())
        try:
            server = await asyncio.open_connection(url.hostname, url.port, limit=MAXIMUM_LINE_BYTES)
        except OSError:
            writer.transport.abort()
            return
        way = _Way(self, (reader, writer), server)
        if self.refusals:
            await way.refuse(self.refusals.pop(0))
            return
        tasks = {asyncio.create_task(way.out()), asyncio.create_task(way.back())}
        self._carrying |= tasks
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            writer.transport.abort()
            server[1].transport.abort()
            self._carrying -= tasks
            await asyncio.gather(*map(cancel, tasks))

    def note(self, message: Message) -> Message | None:
        """Keeps a message of the client, and returns the one to pass on: see `Disturbance.sent`."""
        if len(self.sent) < MAXIMUM_KEPT:
            self.sent.append(Sent(time.monotonic(), message))
        kept: Message | None = message
        for one in tuple(self._disturbances):
            if kept is message:
                kept = one.sent(message)
        return kept

    def came(self, message: Message) -> Message | None:
        """The message to pass on for one to the client: see `Disturbance.came`."""
        kept: Message | None = message
        for one in tuple(self._disturbances):
            if kept is not None:
                kept = one.came(kept)
        return kept


class _Way:
    """One connection through a wire."""

    def __init__(
        self,
        wire: Wire,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._wire = wire
        self._client = client
        self._server = server
        # The subjects that the client listens to, by the numbers of its subscriptions.
        self._patterns: dict[str, str] = {}

    async def refuse(self, words: bytes) -> None:
        """Takes in the login of the client, and refuses it."""
        greeting = await read_frame(self._server[0])
        self._server[1].close()
        if greeting is not None:
            self._client[1].write(greeting.raw)
            await read_frame(self._client[0])
            self._client[1].write(words)
        self._client[1].close()

    async def out(self) -> None:
        """Carries what the client sends, until the client ends the connection."""
        with suppress(OSError):
            while (frame := await read_frame(self._client[0])) is not None:
                self._note_subscription(frame)
                if frame.message is not None:
                    kept = self._wire.note(frame.message)
                    if kept is not None and not kept.subject:
                        await self._answer(frame.message.reply, kept)
                    if kept is not frame.message:
                        continue
                self._server[1].write(frame.raw)
                await self._server[1].drain()

    async def back(self) -> None:
        """Carries what the server sends, until the server ends the connection."""
        with suppress(OSError):
            while (frame := await read_frame(self._server[0])) is not None:
                raw = frame.raw
                if frame.message is not None:
                    kept = self._wire.came(frame.message)
                    if kept is None:
                        continue
                    if kept is not frame.message:
                        raw = delivered(kept)
                self._client[1].write(raw)
                await self._client[1].drain()

    async def _answer(self, reply: str, answer: Message) -> None:
        for number, pattern in self._patterns.items():
            if matches(pattern, reply):
                message = msgspec.structs.replace(answer, subject=reply, subscription=number)
                self._client[1].write(delivered(message))
        await self._client[1].drain()

    def _note_subscription(self, frame: Frame) -> None:
        words = [word.decode(errors="replace") for word in frame.words]
        if frame.operation == b"SUB" and words:
            self._patterns[words[-1]] = words[0]
        elif frame.operation == b"UNSUB" and len(words) == 1:
            self._patterns.pop(words[0], None)

"""A client of NATS in a hundred lines, from the protocol's description alone.

It shares nothing with the library that the service uses, so that neither hides a mistake of the other; and it
can send what a library would refuse to send.
https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

import asyncio
import itertools
import json
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

ANSWER_WITHIN_SECONDS = 30
HEADER_LINE = b"NATS/1.0\r\n"

Headers = Mapping[str, str] | bytes | None


class Message(NamedTuple):
    """A message that arrived: `status` is the number behind `NATS/1.0`, such as 503 for no responders."""

    subject: str
    reply: str | None
    headers: dict[str, str]
    body: bytes
    status: str | None = None

    @property
    def said(self) -> Any:
        """The body, decoded from JSON, in which no object may have a name twice."""
        return json.loads(self.body, object_pairs_hook=_once)

    @property
    def error(self) -> dict[str, Any]:
        """The error of a refused request; its headers must say the same."""
        assert list(self.said) == ["error"], self.body
        error: dict[str, Any] = self.said["error"]
        assert list(error) == ["code", "message", "hint", "details"], self.body
        assert self.headers["Nats-Service-Error"].startswith(error["code"]), self.headers
        assert self.headers["Nats-Service-Error-Code"].isdecimal(), self.headers
        return error

    @property
    def code(self) -> str | None:
        """The code of a refusal; `None` if the request was accepted."""
        if "Nats-Service-Error-Code" not in self.headers:
            return None
        return str(self.error["code"])


class RawNats:
    """One connection, from `connect` to `close`. `errors` are the server's `-ERR` lines.

    A caller that waits for an answer when the connection ends gets a `ConnectionError`.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inbox_prefix: str) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._subscriptions: dict[bytes, asyncio.Queue[Message]] = {}
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._pongs: list[asyncio.Future[None]] = []
        self.errors: list[str] = []
        self.inbox = inbox_prefix + os.urandom(8).hex()
        self._inbox_number = b""
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, url: str, *, inbox_prefix: str = "_INBOX.") -> Self:
        address = urlsplit(url)
        assert address.hostname is not None
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**24)
        self = cls(reader, writer, inbox_prefix)
        greeting = await reader.readline()
        assert greeting.startswith(b"INFO "), greeting
        options: dict[str, Any] = {
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "lang": "raw",
        }
        if address.username:
            options |= {"user": address.username, "pass": address.password}
        self._send(b"CONNECT " + json.dumps(options).encode())
        self._reading = asyncio.create_task(self._read())
        self._inbox_number = self._subscribe(f"{self.inbox}.*")
        await self.flush()
        return self

    async def close(self) -> None:
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def flush(self) -> None:
        """Returns when the server has read all that was sent."""
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        self._send(b"PING")
        async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
            await pong

    def publish(
        self,
        subject: str | bytes,
        body: Any = b"",
        *,
        reply: str | bytes | None = None,
        headers: Headers = None,
    ) -> None:
        """Sends bytes as they are, and anything else as JSON; headers that are bytes as they are, too."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        where = _bytes(subject) + (b"" if reply is None else b" " + _bytes(reply))
        if headers is None:
            self._send(b"PUB %s %d\r\n%s" % (where, len(payload), payload))
            return
        block = headers if isinstance(headers, bytes) else _header_block(headers)
        total = len(block) + len(payload)
        self._send(b"HPUB %s %d %d\r\n%s%s" % (where, len(block), total, block, payload))

    def subscribe(self, subject: str) -> "asyncio.Queue[Message]":
        """A queue of the messages that arrive from now on (once the server has read this; see `flush`)."""
        return self._subscriptions[self._subscribe(subject)]

    def ask(
        self, subject: str | bytes, body: Any = b"", headers: Headers = None
    ) -> "asyncio.Future[Message]":
        """Sends a request; the future is its answer."""
        reply = f"{self.inbox}.{next(self._numbers)}"
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[reply] = answer
        self.publish(subject, body, reply=reply, headers=headers)
        return answer

    async def request(self, subject: str | bytes, body: Any = b"", headers: Headers = None) -> Message:
        """The answer to a request."""
        async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
            return await self.ask(subject, body, headers)

    async def command(
        self,
        name: str,
        body: Any = b"{}",
        *,
        id: str | None = None,  # noqa: A002 - the contract's word
        expected: int | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Message:
        """The answer to a command of the service with the usual prefix."""
        said = dict(headers or {})
        if id is not None:
            said["Hyperpage-Command-Id"] = id
        if expected is not None:
            said["Hyperpage-Expected-Version"] = str(expected)
        return await self.request(f"hyperpage.cmd.v1.{name}", body, said or None)

    async def query(self, name: str, body: Any = b"{}", headers: Headers = None) -> Message:
        """The answer to a query of the service with the usual prefix."""
        return await self.request(f"hyperpage.qry.v1.{name}", body, headers)

    def _subscribe(self, subject: str) -> bytes:
        number = b"%d" % next(self._numbers)
        self._subscriptions[number] = asyncio.Queue()
        self._send(b"SUB %s %s" % (subject.encode(), number))
        return number

    def _send(self, line: bytes) -> None:
        if self._reading is not None and self._reading.done():
            raise ConnectionError("the connection has ended")
        self._writer.write(line + b"\r\n")

    async def _read(self) -> None:
        reason = "end of file"
        try:
            await self._read_operations()
        except Exception as error:
            reason = repr(error)
        # Ends the waits for answers that can't come any more.
        waiting: list[asyncio.Future[Any]] = [*self._answers.values(), *self._pongs]
        for one in waiting:
            if not one.done():
                one.set_exception(ConnectionError(f"the connection ended: {reason} {self.errors}"))

    async def _read_operations(self) -> None:
        while line := await self._reader.readline():
            operation, _, rest = line.strip().partition(b" ")
            match operation.upper():
                case b"MSG":
                    await self._take(rest.split(b" "), has_headers=False)
                case b"HMSG":
                    await self._take(rest.split(b" "), has_headers=True)
                case b"PING":
                    self._send(b"PONG")
                case b"PONG":
                    self._pongs.pop(0).set_result(None)
                case b"-ERR":
                    self.errors.append(rest.decode(errors="replace"))

    async def _take(self, words: list[bytes], *, has_headers: bool) -> None:
        size = int(words.pop())
        header_size = int(words.pop()) if has_headers else 0
        content = (await self._reader.readexactly(size + 2))[:-2]
        subject, number, *reply = words
        status, headers = _parsed_headers(content[:header_size])
        message = Message(
            subject.decode(errors="replace"),
            reply[0].decode(errors="replace") if reply else None,
            headers,
            content[header_size:],
            status,
        )
        answer = self._answers.pop(message.subject, None) if number == self._inbox_number else None
        if answer is not None:
            if not answer.done():
                answer.set_result(message)
        else:
            self._subscriptions[number].put_nowait(message)


def _header_block(headers: Mapping[str, str]) -> bytes:
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
    return HEADER_LINE + lines + b"\r\n"


def _parsed_headers(block: bytes) -> tuple[str | None, dict[str, str]]:
    first, *lines = block.decode(errors="replace").split("\r\n")
    status = first.removeprefix("NATS/1.0").strip().partition(" ")[0] or None
    pairs = [line.partition(":") for line in lines if line]
    return status, {name: value.strip() for name, _, value in pairs}


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    assert len(members) == len(pairs), f"a name is there twice: {[name for name, _ in pairs]}"
    return members

"""JetStream's API as the relay uses it: plain JSON requests, each with a bound, and one kind of error.

Configurations are read and written back as they are: a client library's own structs would drop each setting
that they do not know, and with it what an operator has set.

    JetStreamError                 not now: no connection, no answer, or it said no; trying again may help
    └── WrongSequenceError         somebody stored something in between, or we lost track: look again
"""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

# Within the 5 s that the relay has after a restart there is time to ask twice.
REQUEST_TIMEOUT_MS = 2_000
# How much of a stream is asked for at once.
BATCH_MESSAGES = 256
BATCH_BYTES = 1024 * 1024

NO_STREAM = 10059
NO_MESSAGE = 10037
WRONG_LAST_SEQUENCE = 10071


class JetStreamError(RuntimeError):
    """JetStream did not do what was asked; `repair` says what an operator can do, where we know."""

    def __init__(self, problem: str, repair: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.repair = repair


class WrongSequenceError(JetStreamError):
    """The stream did not stand where the message said."""


class ApiError(msgspec.Struct, frozen=True):
    """What an answer of JetStream's says went wrong."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class StreamCounts(msgspec.Struct, frozen=True):
    """How far a stream has come. `last_seq` stays when messages go."""

    messages: int = 0
    first_seq: int = 0
    last_seq: int = 0


class StreamReport(msgspec.Struct, frozen=True):
    """What a stream is and holds; `created` is another one for a stream that was made anew."""

    config: dict[str, Any]
    created: str
    state: StreamCounts

    @property
    def metadata(self) -> dict[str, str]:
        return self.config.get("metadata") or {}


class StoredMessage(msgspec.Struct, frozen=True):
    """A message in a stream."""

    sequence: int
    subject: str
    payload: bytes
    headers: dict[str, str] = {}


class _Answer(msgspec.Struct):
    error: ApiError | None = None


class _Got(msgspec.Struct):
    seq: int
    subject: str
    data: str = ""


class _GotAnswer(msgspec.Struct):
    message: _Got


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_report = msgspec.json.Decoder(StreamReport).decode
_decode_message = msgspec.json.Decoder(_GotAnswer).decode


class JetStreamApi:
    """Requests about streams, over one connection."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection

    async def report(self, stream: str) -> StreamReport | None:
        """What a stream is and holds; None where there is none."""
        answer = await self._ask(f"STREAM.INFO.{stream}", b"", absent=NO_STREAM)
        return None if answer is None else _decode_report(answer)

    async def create(self, config: dict[str, Any]) -> StreamReport:
        """Makes a stream, or finds the one that has just this configuration."""
        return await self._configure("CREATE", config)

    async def update(self, config: dict[str, Any]) -> StreamReport:
        """Gives a stream another configuration; what is left out falls back to the default."""
        return await self._configure("UPDATE", config)

    async def delete(self, stream: str) -> None:
        """Removes a stream with all that it holds; also where there is none."""
        await self._ask(f"STREAM.DELETE.{stream}", b"", absent=NO_STREAM)

    async def message_at(self, stream: str, sequence: int) -> StoredMessage | None:
        """The message at a sequence, if it is still there."""
        return await self._message(stream, {"seq": sequence})

    async def last_message(self, stream: str, subject: str) -> StoredMessage | None:
        """The last message on a subject, which may have wildcards, that is still there."""
        return await self._message(stream, {"last_by_subj": subject})

    async def messages(self, stream: str) -> AsyncIterator[StoredMessage]:
        """Every message of a stream that allows direct reading, in order."""
        inbox = self._connection.new_inbox()
        subscription = await self._connection.subscribe(inbox)
        try:
            sequence: int | None = 1
            while sequence is not None:
                request = {"seq": sequence, "batch": BATCH_MESSAGES, "max_bytes": BATCH_BYTES}
                await self._publish(f"$JS.API.DIRECT.GET.{stream}", request, inbox)
                sequence = None
                while (message := await self._next(subscription.next_msg, stream)) is not None:
                    yield message
                    sequence = message.sequence + 1
        finally:
            if not self._connection.is_closed:
                await subscription.unsubscribe()

    async def _next(self, next_message: Any, stream: str) -> StoredMessage | None:
        """The next message of a batch; None at its end."""
        try:
            got: Msg = await next_message(timeout=REQUEST_TIMEOUT_MS / 1000)
        except nats.errors.Error as error:
            raise JetStreamError(f"JetStream did not give out what {stream} holds: {error}") from error
        headers = got.headers or {}
        status = headers.get("Status")
        if status is None:
            return StoredMessage(int(headers["Nats-Sequence"]), headers["Nats-Subject"], got.data, headers)
        # 204: the batch ends; 404: nothing is left.
        if status in {"204", "404"}:
            return None
        raise JetStreamError(f"JetStream did not give out what {stream} holds: status {status}")

    async def _configure(self, verb: str, config: dict[str, Any]) -> StreamReport:
        answer = await self._ask(f"STREAM.{verb}.{config['name']}", msgspec.json.encode(config))
        assert answer is not None
        return _decode_report(answer)

    async def _message(self, stream: str, which: dict[str, Any]) -> StoredMessage | None:
        answer = await self._ask(f"STREAM.MSG.GET.{stream}", msgspec.json.encode(which), absent=NO_MESSAGE)
        if answer is None:
            return None
        got = _decode_message(answer).message
        return StoredMessage(got.seq, got.subject, b64decode(got.data))

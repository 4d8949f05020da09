"""JetStream's API as the relay uses it: plain JSON requests, each with a timeout, and one kind of error.

    JetStreamError                 not now: no connection, no answer, or a refusal; trying again may help
    ├── StreamFullError            a limit of the stream refuses a message
    ├── UnansweredError            a message that was sent may be stored, now or soon
    └── WrongSequenceError         the stream's last sequence is not the expected one: look again

Configurations are read and written back as plain dictionaries: the structs of a client library would drop
each setting that they do not know, which may be one of an operator's.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import nats.errors

from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.jetstream_answers import (
    FULL,
    INSUFFICIENT_RESOURCES,
    NO_MESSAGE,
    NO_STREAM,
    WRONG_LAST_SEQUENCE,
    StoredMessage,
    StreamReport,
    decode_report,
    error_in,
    message_in,
    stored,
)

# Less than half of the 5 s that the relay has after a restart, so that one request may be lost with the
# broker.
REQUEST_TIMEOUT_MS = 2_000
# The most that is asked for at once when a stream is read.
BATCH_MESSAGES = 256
BATCH_BYTES = 1024 * 1024


class JetStreamError(RuntimeError):
    """JetStream did not do what was asked; `repair` says what an operator can do, if that is known.

    `code` is JetStream's own number of the error; 0 if it gave none.
    """

    def __init__(self, problem: str, repair: str | None = None, *, code: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.repair = repair
        self.code = code


class StreamFullError(JetStreamError):
    """A limit of the stream refuses a message."""


class UnansweredError(JetStreamError):
    """A message that was sent may be stored, now or soon."""


class WrongSequenceError(JetStreamError):
    """The stream's last sequence is not the expected one."""


class JetStreamApi:
    """Requests about streams, over one connection. All raise `JetStreamError`."""

    def __init__(self, connection: LeanClient) -> None:
        self._connection = connection

    async def report(self, stream: str) -> StreamReport | None:
        """The state of a stream; `None` if there is none."""
        answer = await self._ask(f"STREAM.INFO.{stream}", absent=NO_STREAM)
        return None if answer is None else decode_report(answer)

    async def report_with(self, stream: str, subjects: str) -> StreamReport | None:
        """The state of a stream, with the number of messages of each subject that matches `subjects`."""
        answer = await self._ask(f"STREAM.INFO.{stream}", {"subjects_filter": subjects}, absent=NO_STREAM)
        return None if answer is None else decode_report(answer)

    async def create(self, config: dict[str, Any]) -> StreamReport:
        """Makes a stream, or finds one that has just this configuration."""
        return await self._configure("CREATE", config)

    async def update(self, config: dict[str, Any]) -> StreamReport:
        """Gives a stream this configuration; settings that are left out get their defaults."""
        return await self._configure("UPDATE", config)

    async def delete(self, stream: str) -> None:
        """Removes a stream and all its messages, if it exists."""
        await self._ask(f"STREAM.DELETE.{stream}", absent=NO_STREAM)

    async def purge(self, stream: str, before: int) -> None:
        """Removes the messages of a stream before a sequence."""
        await self._ask(f"STREAM.PURGE.{stream}", {"seq": before})

    async def message_at(self, stream: str, sequence: int) -> StoredMessage | None:
        """The message at a sequence, if it is still there."""
        return await self._message(stream, {"seq": sequence})

    async def last_message(self, stream: str, subject: str) -> StoredMessage | None:
        """The last message on a subject (which may have wildcards) that is still there."""
        return await self._message(stream, {"last_by_subj": subject})

    async def store(
        self, subject: str, payload: bytes, headers: dict[str, str], *, timeout_ms: int = REQUEST_TIMEOUT_MS
    ) -> int:
        """Has a stream store a message, and returns its sequence there.

        Raises:
            WrongSequenceError: the stream's last sequence is not the one that `headers` expect.
            StreamFullError: the stream has no room. UnansweredError: it may store the message, now or soon.
            JetStreamError: it does not store the message, for another reason.
        """
        if not self._connection.is_connected:
            raise _not_connected()
        try:
            answer = await self._connection.request(
                subject, payload, timeout=timeout_ms / 1000, headers=headers
            )
        except nats.errors.NoRespondersError:
            raise JetStreamError(f"no stream takes messages on {subject} now") from None
        except (nats.errors.Error, OSError) as error:
            why = str(error) or type(error).__name__
            raise UnansweredError(f"a message on {subject} was not answered: {why}") from error
        found = stored(answer.headers, answer.data)
        if found.error is None:
            return found.seq
        said = found.error.description
        if found.error.err_code == WRONG_LAST_SEQUENCE:
            raise WrongSequenceError(f"a message on {subject} was refused: {said}")
        if found.error.err_code == INSUFFICIENT_RESOURCES or said in FULL:
            raise StreamFullError(
                f"there is no room for a message on {subject}: {said}",
                "make room on the nats-servers, or raise the stream's limits",
            )
        # One of these errors only says that something is under way there, so the message may be stored.
        raise UnansweredError(f"a message on {subject} was refused: {said}", code=found.error.err_code)

    async def messages_from(self, stream: str, sequence: int) -> list[StoredMessage]:
        """Some of the messages from a sequence on, in order; none if there are no more.

        The stream must allow direct reading, which asks for nats-server 2.11 or newer.
        """
        inbox = self._connection.new_inbox()
        request = msgspec.json.encode({"seq": sequence, "batch": BATCH_MESSAGES, "max_bytes": BATCH_BYTES})
        found: list[StoredMessage] = []
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def take(_: str, __: str, headers: Mapping[str, str] | None, body: bytes) -> None:
            headers = headers or {}
            # Checked first, because a message may have a header `Status`, too.
            if "Nats-Sequence" in headers:
                sequence, subject = int(headers["Nats-Sequence"]), headers["Nats-Subject"]
                found.append(StoredMessage(sequence, subject, body, headers))
            elif not ended.done():
                ended.set_result(headers.get("Status", ""))

        try:
            subscription = await self._connection.subscribe_direct(inbox, handler=take)
            try:
                await self._connection.publish(f"$JS.API.DIRECT.GET.{stream}", request, reply=inbox)
                async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                    status = await ended
            finally:
                await subscription.unsubscribe()
        except (nats.errors.Error, TimeoutError) as error:
            raise _unanswered(f"reading {stream}", error) from error
        # 204 ends a batch, 404 says that there was nothing to begin with.
        if status not in {"204", "404"}:
            raise JetStreamError(f"JetStream refused reading {stream}: status {status}")
        return found

    async def _configure(self, verb: str, config: dict[str, Any]) -> StreamReport:
        answer = await self._ask(f"STREAM.{verb}.{config['name']}", config)
        assert answer is not None
        return decode_report(answer)

    async def _message(self, stream: str, which: dict[str, Any]) -> StoredMessage | None:
        answer = await self._ask(f"STREAM.MSG.GET.{stream}", which, absent=NO_MESSAGE)
        return None if answer is None else message_in(answer)

    async def _ask(
        self, verb: str, request: dict[str, Any] | None = None, *, absent: int | None = None
    ) -> bytes | None:
        """JetStream's answer; `None` if it refuses with the error code `absent`."""
        if not self._connection.is_connected:
            # nats-py would keep the request for later, and wait in vain for its answer.
            raise _not_connected()
        payload = b"" if request is None else msgspec.json.encode(request)
        try:
            answer = await self._connection.request(
                f"$JS.API.{verb}", payload, timeout=REQUEST_TIMEOUT_MS / 1000
            )
        except nats.errors.Error as error:
            raise _unanswered(verb, error) from error
        refused = error_in(answer.data)
        if refused is None:
            return answer.data
        if refused.err_code == absent:
            return None
        raise JetStreamError(f"JetStream refused {verb}: {refused.description}", code=refused.err_code)


def _not_connected() -> JetStreamError:
    return JetStreamError("there is no connection to NATS")


def _unanswered(verb: str, error: Exception) -> JetStreamError:
    if isinstance(error, nats.errors.NoRespondersError):
        return JetStreamError(
            "JetStream is not there", "enable JetStream on the nats-server, for the account of the relay"
        )
    return JetStreamError(f"JetStream did not answer {verb}: {str(error) or type(error).__name__}")

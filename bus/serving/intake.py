"""Requests in, answers out: what is asked goes to the writer, its outcome to whoever asked.

    message ─▶ decode ─┐                                             ┌─▶ answer
    message ─▶ decode ─┼─▶ one hand-over per turn of the loop ─▶ writer ─▶ one hand-over per group ─▶ answer
    message ─▶ decode ─┘                                             └─▶ answer

A message costs one decoding and one answer; locks and switches between threads are shared by all that
arrived together.
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from bus.contract import codec
from bus.contract.headers import (
    ACTOR,
    CAUSATION_ID,
    COMMAND_ID,
    CORRELATION_ID,
    EXPECTED_VERSION,
    TRACEPARENT,
)
from bus.contract.subjects import BATCH, BusNames
from bus.incident import internal
from bus.measures import UNKNOWN, Tally
from bus.serving.discovery import QUEUE_GROUP, Endpoint
from bus.tasks import Tasks
from bus.transport.connection import UNREADABLE, LeanClient, Outgoing, stop_receiving
from bus.writing.submission import Outcome, Request, Submission, count_refused, refused
from bus.writing.writer import Writer
from domain.credentials import Finding, rejected
from domain.credentials.shapes import kind_of_shape
from domain.errors import Invalid, Refusal
from domain.messages import Metadata

MAXIMUM_HEADER_CHARACTERS = 512
# UUIDs and traces, which most of what is said about a command are: no credential is spelled like that.
_MACHINE_ID = re.compile(r"[0-9a-f-]+")

logger = logging.getLogger(__name__)


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Whom a submission's outcome goes to: a reply subject, or who waits in this process."""

    reply: str
    endpoint: Endpoint
    arrived_ns: int
    waiting: asyncio.Future[Outcome] | None = None


class Intake:
    """The command subjects of a service. Used from the event loop's thread only.

    `dropped` counts requests that were not carried out, since their reply subject is nobody's inbox.
    """

    def __init__(
        self, connection: LeanClient, writer: Writer, names: BusNames, endpoints: Mapping[str, Endpoint]
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._names = names
        self._served = {endpoint.subject: (name, endpoint) for name, endpoint in endpoints.items()}
        self._unknown = Endpoint(name="unknown", subject="")
        self._subscription: Subscription | None = None
        self._arrived: list[Submission] = []
        self._answering = Tasks()
        self._loop = asyncio.get_running_loop()
        self.dropped = 0
        # Those that never came to the writer, which counts the others.
        self.refused = Tally()

    async def start(self) -> None:
        """Serves from now on."""
        # One subscription for all verbs: what one client sends in order is decided in order. What is read
        # goes to the writer, which says when it is too much; the sender is told, and nothing is lost unsaid.
        self._subscription = await self._connection.subscribe_direct(
            self._names.command(">"), queue=QUEUE_GROUP, handler=self._receive
        )

    async def stop(self) -> None:
        """Takes nothing more; what was taken is still answered (see `drain`)."""
        # A service that could not start ends before it has begun.
        if self._subscription is not None:
            await stop_receiving(self._subscription)
        self._hand_over()

    async def drain(self) -> None:
        """Returns when every answer is on its way."""
        await self._answering.finish()

    def _receive(self, subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes) -> None:
        if not self._names.is_inbox(reply):
            # Answering would publish, with our rights, where the sender may not have any.
            self.dropped += 1
            return
        name, endpoint = self._served.get(subject) or (self._names.name_in(subject), self._unknown)
        self._take(name, submission_of(name, body, headers, Caller(reply, endpoint, time.perf_counter_ns())))

    async def carry_out(self, name: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """What becomes of a command that came another way than over the broker; the same limits hold."""
        _, endpoint = self._served.get(self._names.command(name)) or (name, self._unknown)
        waiting: asyncio.Future[Outcome] = self._loop.create_future()
        caller = Caller("", endpoint, time.perf_counter_ns(), waiting)
        self._take(name, submission_of(name, body, headers, caller))
        return await waiting

    def _take(self, name: str, submission: Submission) -> None:
        if submission.outcome is not None and submission.outcome.refusal is not None:
            is_known = submission.context.endpoint is not self._unknown
            self.refused.add(name if is_known else UNKNOWN, submission.outcome.refusal.code)
            self.answer([submission])
            return
        if not self._arrived:
            self._loop.call_soon(self._hand_over)
        self._arrived.append(submission)

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        if arrived and (turned_away := self._writer.submit(arrived)):
            count_turned_away(self.refused, turned_away)
            self.answer(turned_away)

    def answer(self, submissions: list[Submission]) -> None:
        """Sends their outcomes to the callers."""
        self._answering.start(self._answer(submissions))

    async def _answer(self, submissions: list[Submission]) -> None:
        now = time.perf_counter_ns()
        answers: list[Outgoing] = []
        for one in submissions:
            caller, outcome = one.context, one.outcome
            if not isinstance(caller, Caller) or outcome is None:
                continue
            refusal = outcome.refusal
            caller.endpoint.count(now - caller.arrived_ns, refusal)
            if caller.waiting is not None:
                # Who waited may have gone.
                if not caller.waiting.done():
                    caller.waiting.set_result(outcome)
                continue
            headers = None if refusal is None else codec.error_headers(refusal)
            answers.append((caller.reply, "", outcome.body, headers))
        try:
            await self._connection.publish_many(answers)
        except NatsError:
            # None was sent, perhaps on account of a single one.
            for answer in answers:
                await self._answer_alone(answer)

    async def _answer_alone(self, answer: Outgoing) -> None:
        try:
            await self._connection.publish_many((answer,))
        except NatsError as error:
            # It is stored. Who asked with a command id asks again, and gets this very answer.
            logger.warning("an answer could not be sent: %s", error)


def count_turned_away(tally: Tally, submissions: list[Submission]) -> None:
    """Counts what the writer had no room for, or was not there to take."""
    for one in submissions:
        if one.outcome is not None and one.outcome.refusal is not None:
            count_refused(tally, [one], one.outcome.refusal.code)


def submission_of(
    name: str, body: bytes, headers: Mapping[str, str] | None, context: Any, *, fallback_id: str | None = None
) -> Submission:
    """A message as a submission; a malformed one has its outcome already.

    `fallback_id` is the command id of a single command whose sender gave none.
    """
    try:
        if name == BATCH:
            return _batch(body, headers, context)
        request = _request(name, body, headers, fallback_id)
    except Refusal as refusal:
        return refused_submission(refusal, context)
    except Exception as error:
        return refused_submission(internal(logger, "a message could not be read", error), context)
    return Submission(requests=[request], size_bytes=len(body), context=context)


def refused_submission(refusal: Refusal, context: Any) -> Submission:
    """A submission that ends before it begins."""
    return Submission(requests=[refusal], size_bytes=0, context=context, outcome=refused(refusal))


def _request(name: str, body: bytes, headers: Mapping[str, str] | None, fallback_id: str | None) -> Request:
    decider, verb = codec.find_verb(name)
    command = codec.decode_command(verb, body)
    findings = codec.findings_in(body)
    if not headers:
        return Request(decider=decider, verb=verb, command=command, command_id=fallback_id, findings=findings)
    _require_readable(headers)
    return Request(
        decider=decider,
        verb=verb,
        command=command,
        command_id=_command_id(headers.get(COMMAND_ID)) or fallback_id,
        expected_version=_version(headers.get(EXPECTED_VERSION)),
        metadata=_metadata(headers),
        findings=findings,
    )


def _batch(body: bytes, headers: Mapping[str, str] | None, context: Any) -> Submission:
    batch = codec.decode_batch(body)
    if not batch.commands:
        raise Invalid("a batch has at least one command", path="$.commands")
    if headers:
        _require_readable(headers)
    if headers and EXPECTED_VERSION in headers:
        raise Invalid("a batch has no one version to expect; its commands may", path=EXPECTED_VERSION)
    metadata = _metadata(headers) if headers else None
    requests: list[Request | Refusal] = []
    for index, item in enumerate(batch.commands):
        try:
            decider, verb = codec.find_verb(item.command)
            item_body = bytes(item.body)
            requests.append(
                Request(
                    decider=decider,
                    verb=verb,
                    command=codec.decode_command(verb, item_body),
                    command_id=_command_id(item.id),
                    expected_version=_not_negative(item.expected_version),
                    metadata=metadata,
                    findings=codec.findings_in(item_body),
                )
            )
        except Refusal as refusal:
            refusal.details.setdefault("index", index)
            requests.append(refusal)
    return Submission(
        requests=requests, size_bytes=len(body), context=context, batch=True, atomic=batch.atomic
    )


def _require_readable(headers: Mapping[str, str]) -> None:
    # Without its expected version, say, a command would be another one.
    if headers == UNREADABLE:
        raise Invalid("the headers of the message cannot be read", path="$")


def _command_id(value: str | None) -> str | None:
    if value is None:
        return None
    if not value or len(value) > codec.MAXIMUM_COMMAND_ID_CHARACTERS:
        raise Invalid(
            f"a command id has 1 to {codec.MAXIMUM_COMMAND_ID_CHARACTERS} characters", path=COMMAND_ID
        )
    # SQLite looks texts up as far as their first NUL. And of two ids that are not UTF-8, both would be read
    # as these replacements, so that one stands for the other.
    if "\0" in value or "\ufffd" in value:
        raise Invalid("a command id is UTF-8, without NUL and U+FFFD", path=COMMAND_ID)
    return value


def _version(value: str | None) -> int | None:
    if value is None:
        return None
    # Not `int()`: that takes underscores, signs, spaces and the digits of every script.
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise Invalid("an expected version is a whole number, 0 or more", path=EXPECTED_VERSION)
    return int(value)


def _not_negative(version: int | None) -> int | None:
    if version is not None and not 0 <= version < 10**18:
        raise Invalid("an expected version is a whole number, 0 or more", path="$.expected_version")
    return version


def _metadata(headers: Mapping[str, str]) -> str | None:
    values = [headers.get(name) for name in (ACTOR, CORRELATION_ID, CAUSATION_ID, TRACEPARENT)]
    if not any(values):
        return None
    for name, value in zip((ACTOR, CORRELATION_ID, CAUSATION_ID, TRACEPARENT), values, strict=True):
        if value is None or (len(value) < MAXIMUM_HEADER_CHARACTERS and _MACHINE_ID.fullmatch(value)):
            continue
        if len(value) > MAXIMUM_HEADER_CHARACTERS:
            raise Invalid(f"a header has at most {MAXIMUM_HEADER_CHARACTERS} characters", path=name)
        if (kind := kind_of_shape(value)) is not None:
            raise rejected(Finding(name, kind))
    actor, correlation_id, causation_id, traceparent = values
    said = Metadata(
        actor=actor, correlation_id=correlation_id, causation_id=causation_id, traceparent=traceparent
    )
    return codec.encode(said).decode()

"""A connection that is kept, and requests over it that are asked again until they are answered.

    ask ──▶ publish ──▶ an answer ─────────────────────────────────▶ its bytes, or its refusal
              ▲           │ busy, unavailable, no service there, no answer in time, connection lost
              └─ back-off ┘ until the deadline ────────────────────▶ Unreachable

All attempts at one question share one reply subject, so that a late answer to the first is as good as one
to the second. nats-py's `request` forgets a question after its timeout, and waits for that long if the broker
dies. `hyperpage_client.transport.connection` mends what else would end a long-lived client.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import NamedTuple, Self

from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, MaxPayloadError
from nats.errors import Error as NatsError

from hyperpage_client.asking.questions import Answer, Question, Questions
from hyperpage_client.contract.headers import ERROR_CODE
from hyperpage_client.errors import Behind, Busy, Refusal, Unavailable, read_refusal, refusal_of
from hyperpage_client.transport.access import Access
from hyperpage_client.transport.connecting import NOTHING_MORE, NotConnectedError, connect
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.protocol import Handler
from hyperpage_client.transport.sending import RawMessage
from hyperpage_client.waiting import is_set_within

# An answer takes milliseconds, and a few hundred of them on a busy service. After this time a question is
# asked again, then after twice as long, and so on, so that impatience adds little to the load.
FIRST_WAIT_SECONDS = 1.0
# The pause after the broker's answer that no service listens, or the service's that it is busy. It doubles,
# and half of it is random, so that clients that were refused together do not ask again together.
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
# The deadline of one question in `ask_patiently`, which asks again after it.
PATIENT_SECONDS = 60.0
# A broker that hangs is noticed after two unanswered pings.
PING_SECONDS = 10
# The header of the broker's own answer that no service listens.
STATUS = "Status"
_SIGNS = frozenset({ERROR_CODE, STATUS})
NO_HEADERS: Mapping[str, str] = {}

logger = logging.getLogger(__name__)


class Unreachable(Exception):
    """No service answered in time.

    `may_have_been_carried_out` is false only if the question certainly reached no service. If it is true,
    asking again with the same `command_id` is safe: a command that was carried out is answered, and not
    done twice.
    `hint` says what to do.
    """

    def __init__(self, message: str, *, may_have_been_carried_out: bool, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint or (
            "ask again, with the same command id, once a service is there"
            if may_have_been_carried_out
            else "nothing was sent: see that the nats-server runs, and how its address is written"
        )
        self.may_have_been_carried_out = may_have_been_carried_out
        self.command_id: str | None = None


class ClosedError(RuntimeError):
    """The connection is closed, by its owner or by the broker, and does not come back."""


class Expected(NamedTuple):
    """A place for an answer, which comes to `subject`; `answer` waits for its body, until a given time.

    The body is None when that time has come by the loop's clock, and when the connection was lost or is back:
    an answer may have been lost with it. `answer` raises `ClosedError` if the connection is closed.
    """

    subject: str
    answer: Callable[[float], Awaitable[bytes | None]]


class ClientConnection:
    """One connection to NATS from `open` to `close`; used in one event loop.

    `losses` counts how often it was lost; `listeners` are called when it is lost and when it is back.
    """

    def __init__(self) -> None:
        self.nats = LeanClient()
        self.losses = 0
        self.listeners: set[Callable[[], None]] = set()
        self._questions = Questions()
        self._inbox = ""
        self._clock = asyncio.get_running_loop().time
        self._up = asyncio.Event()
        self._last_error = ""

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        inbox_prefix: str,
        name: str,
        timeout_seconds: float,
        access: Access = NOTHING_MORE,
    ) -> Self:
        """A connection that is established.

        Raises:
            Unreachable: no nats-server accepted the connection within that time, or none ever will.
        """
        self = cls()
        try:
            await connect(
                url,
                name=name,
                inbox_prefix=inbox_prefix,
                within_seconds=timeout_seconds,
                access=access,
                # Reconnecting is tried often, since each question has a deadline of its own.
                again_after_seconds=0.2,
                on_error=self._note_error,
                client=self.nats,
                ping_interval=PING_SECONDS,
                # Each client begins with any of several nats-servers, so that clients are spread among them.
                dont_randomize=False,
                disconnected_cb=self._went_down,
                reconnected_cb=self._came_up,
                closed_cb=self._went_down,
            )
            self._inbox = self.nats.new_inbox()
            await self.nats.subscribe_direct(f"{self._inbox}.*", handler=self._receive)
        except BaseException as error:
            await self.nats.close()
            if not isinstance(error, NotConnectedError | NatsError | OSError):
                raise
            hint = error.hint if isinstance(error, NotConnectedError) else ""
            raise Unreachable(
                str(error) or "no answer", may_have_been_carried_out=False, hint=hint
            ) from error
        self._up.set()
        return self

    async def close(self) -> None:
        """Closes the connection; callers that still wait for an answer get `ClosedError`."""
        await self.nats.close()
        self._tell()

    async def ask(
        self,
        subject: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        within_seconds: float,
    ) -> bytes:
        """The body of the answer to a question, which is asked again until it is answered or the time is up.

        Raises:
            Refusal: the service refuses; `Busy`, `Unavailable` and `Behind` come only when the time is up,
                but a leader's `Behind` comes at once.
            Unreachable: there was no answer, or one attempt is still without one.
            ClosedError: the connection is closed.
        """
        return (await self.answer(subject, body, headers, within_seconds=within_seconds))[1]

    async def answer(
        self,
        subject: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        within_seconds: float,
    ) -> Answer:
        """As `ask`, with the answer's headers."""
        token, question = self._questions.begin()
        message = (subject, f"{self._inbox}.{token}", body, headers or None)
        clock = self._clock
        deadline = clock() + within_seconds
        wait_seconds = FIRST_WAIT_SECONDS
        refusal: Refusal | None = None
        try:
            for attempt in count():
                if not self.nats.is_connected:
                    await self._wait_until_up(deadline)
                now = clock()
                if now >= deadline:
                    break
                if not self._is_published(message):
                    await self.nats.publish_many((message,))
                question.sent += 1
                send_again = now + wait_seconds
                wait_seconds *= 2
                while True:
                    if not question.answers:
                        until = send_again if send_again < deadline else deadline
                        await self._questions.woken(question, until)
                        if not question.answers:
                            break
                    answer = question.answers.pop(0)
                    if _SIGNS.isdisjoint(answer[0]):
                        return answer
                    refusal = _refusal_in(answer)
                    send_again = clock() + _pause(attempt, refusal)
        finally:
            self._questions.end(token)
        if refusal is not None and not question.is_open:
            raise refusal
        raise Unreachable(
            f"no answer on {subject} within {within_seconds:g} s",
            may_have_been_carried_out=question.is_open,
        )

    async def listen(self, subject: str, handler: Handler) -> Subscription:
        """Has `handler` called with every message on a subject, as `LeanClient.subscribe_direct` does.

        Raises:
            ClosedError: the connection is closed.
        """
        try:
            return await self.nats.subscribe_direct(subject, handler=handler)
        except ConnectionClosedError:
            raise self._closed() from None

    @contextmanager
    def expecting(self) -> Iterator[Expected]:
        """A place for an answer, for the length of the block."""
        token, question = self._questions.begin()
        try:
            yield Expected(f"{self._inbox}.{token}", partial(self._expected, question))
        finally:
            self._questions.end(token)

    async def ask_patiently(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """As `ask`, without a deadline: it asks again until a service answers.

        Raises:
            Refusal: the service refuses, in a way that asking again does not change.
            ClosedError: the connection is closed.
        """
        while True:
            try:
                return await self.ask(subject, body, headers, within_seconds=PATIENT_SECONDS)
            except (Unreachable, Busy, Unavailable, Behind) as error:
                if isinstance(error, Refusal) and not _may_end_otherwise(error):
                    raise
                logger.info("%s: %s; asking on", subject, error)

    async def _expected(self, question: Question, until: float) -> bytes | None:
        if self.nats.is_closed:
            raise self._closed()
        if not question.answers:
            await self._questions.woken(question, until)
        return question.answers.pop(0)[1] if question.answers else None

    def _is_published(self, message: RawMessage) -> bool:
        """Whether the buffer had room for the message, which is published then."""
        try:
            return self.nats.publish_soon(message)
        except MaxPayloadError:
            raise refusal_of(
                "too_large",
                f"a message has at most {self.nats.max_payload} bytes",
                hint="nothing was changed: send less at once, or keep it elsewhere and send where it is",
                details={"limit_bytes": self.nats.max_payload, "size_bytes": len(message[2])},
            ) from None

    async def _wait_until_up(self, deadline: float) -> None:
        """Returns when there is a connection, or at the deadline.

        Without one, nats-py would keep a message and send it later, when it may not be wanted any more.
        """
        while not self.nats.is_connected:
            if self.nats.is_closed:
                raise self._closed()
            self._up.clear()
            left = deadline - self._clock()
            if not await is_set_within(self._up, left * 1000):
                return

    def _closed(self) -> ClosedError:
        return ClosedError(f"the connection is closed; {self._last_error}".rstrip("; "))

    def _receive(self, subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes) -> None:
        self._questions.take(subject.rpartition(".")[2], (headers or NO_HEADERS, body))

    def _note_error(self, said: str) -> None:
        self._last_error = said
        logger.info("nats: %s", said)

    async def _went_down(self) -> None:
        self.losses += 1
        self._tell()

    async def _came_up(self) -> None:
        self._tell()

    def _tell(self) -> None:
        if self.nats.is_connected or self.nats.is_closed:
            self._up.set()
            # Questions and answers that were on their way are lost: each question is asked again at once.
            self._questions.wake_all()
        for listener in tuple(self.listeners):
            listener()


def _refusal_in(answer: Answer) -> Refusal | None:
    """The refusal in an answer, if asking again may help; `None`: the broker says that no service listens.

    Raises:
        Refusal: asking again would not help.
    """
    headers, body = answer
    refusal = read_refusal(body) if ERROR_CODE in headers else None
    if refusal is not None and not _may_end_otherwise(refusal):
        raise refusal
    return refusal


def _may_end_otherwise(refusal: Refusal) -> bool:
    """Whether the same question may be answered a moment later, or by another service."""
    if isinstance(refusal, Behind):
        return not refusal.details.get("leads")
    return isinstance(refusal, Busy | Unavailable)


def _pause(attempt: int, refusal: Refusal | None) -> float:
    asked_for = refusal.details.get("retry_after_ms") if refusal else 0
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempt, 10), LONGEST_PAUSE_SECONDS)
    seconds: float = asked_for / 1000 if isinstance(asked_for, int) else 0.0
    return seconds + longest * random.uniform(0.5, 1)

"""Requests for state: answered from read-only connections, beside the writer."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import apsw
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from bus.contract import codec
from bus.contract.rights import UNKNOWN_PRINCIPAL, Principal, Rights
from bus.contract.senders import Sender, UserSubjects
from bus.incident import internal
from bus.log.reader_pool import PoolExhaustedError
from bus.serving.admission import Admission, Way
from bus.serving.discovery import QUEUE_GROUP, Endpoint
from bus.tasks import Tasks
from bus.transport.connection import stop_receiving
from domain.errors import Busy, Forbidden, NotFound, Refusal, TooLarge, Unavailable

MAXIMUM_BODY_BYTES = 64 * 1024
MAXIMUM_UNDER_WAY = 2_000

logger = logging.getLogger(__name__)


class QueryVerb(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of query. `answer` gets a connection that cannot write, and the decoded query.

    It raises a `Refusal` if there is no answer. Without `reads`, it gets `None` in place of the connection,
    and is called at once on the loop's thread, however many others wait. `limited` answers those whose rights
    are not all: they may ask nothing else that `reads`.
    """

    name: str
    shape: type[Any]
    answer: Callable[[Any, Any], bytes]
    reads: bool = True
    limited: Callable[[Any, Any, Rights], bytes] | None = None


class Queries:
    """The query subjects of a service. Used from the event loop's thread; reading happens in threads."""

    def __init__(
        self,
        connection: Client,
        reader: Callable[[], AbstractContextManager[apsw.Connection]],
        subjects: UserSubjects,
        verbs: Mapping[str, QueryVerb],
        endpoints: Mapping[str, Endpoint],
        admission: Admission,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._subjects = subjects
        self._admission = admission
        self._subscriptions: list[Subscription] = []
        self._verbs = verbs
        self._endpoints = endpoints
        self._unknown = Endpoint(name="unknown", subject="")
        self._threads = ThreadPoolExecutor(20, thread_name_prefix="reader")
        self._under_way = Tasks()
        self.dropped = 0

    async def start(self) -> None:
        """Serves from now on."""
        for subject in self._subjects.arrivals(self._subjects.names.query(">")):
            self._subscriptions.append(
                await self._connection.subscribe(subject, queue=QUEUE_GROUP, cb=self._receive)
            )

    async def stop(self) -> None:
        """Takes nothing more, and answers what was taken."""
        for subscription in self._subscriptions:
            await stop_receiving(subscription)
        await self._under_way.finish()
        self._threads.shutdown()

    async def _receive(self, message: Msg) -> None:
        found = self._admission.find(message.subject, message.reply)
        if found is None:
            self.dropped += 1
            return
        self._under_way.start(self._serve(*found, message.data, time.perf_counter_ns()))

    async def _serve(self, sender: Sender, principal: Principal, asked: bytes, arrived_ns: int) -> None:
        name = sender.name
        refusal: Refusal | None = None
        try:
            body = await self.ask(name, asked, principal, "nats")
        except Refusal as error:
            refusal = error
            body = codec.error_body(error)
        self._endpoints.get(name, self._unknown).count(time.perf_counter_ns() - arrived_ns, refusal)
        headers = None if refusal is None else codec.error_headers(refusal)
        try:
            await self._connection.publish(sender.reply, body, headers=headers)
        except NatsError as error:
            logger.warning("an answer could not be sent: %s", error)

    async def ask(
        self, name: str, body: bytes, principal: Principal = UNKNOWN_PRINCIPAL, way: Way = "http"
    ) -> bytes:
        """The answer to a query of a principal.

        Raises:
            Refusal: there is none.
        """
        try:
            return await self._ask(name, body, principal)
        except Forbidden:
            self._admission.may_not(principal, "query.ask", name, way)
            raise

    async def _ask(self, name: str, body: bytes, principal: Principal) -> bytes:
        verb = self._verbs.get(name)
        if verb is None:
            raise NotFound(f"there is no query {name}", hint="`hyperpage schema` lists all of them")
        if len(body) > MAXIMUM_BODY_BYTES:
            raise TooLarge(
                f"a query has at most {MAXIMUM_BODY_BYTES} bytes",
                limit_bytes=MAXIMUM_BODY_BYTES,
                size_bytes=len(body),
            )
        if verb.reads and len(self._under_way) > MAXIMUM_UNDER_WAY:
            raise Busy("too many queries are under way", hint="try again", retry_after_ms=100)
        query = codec.decode(verb.shape, body)
        if not verb.reads:
            return self._read(verb, query, principal)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read, verb, query, principal)

    def _read(self, verb: QueryVerb, query: Any, principal: Principal) -> bytes:
        try:
            with self._reader() if verb.reads else nullcontext() as connection:
                answer = _answer(verb, connection, query, principal)
        except Refusal:
            raise
        except PoolExhaustedError:
            raise Busy("all readers are busy", hint="try again", retry_after_ms=500) from None
        except (apsw.BusyError, apsw.IOError, apsw.FullError) as error:
            logger.exception("a query could not be read", extra={"query": verb.name})
            raise Unavailable("the store could not be read", hint="try again") from error
        except Exception as error:
            raise internal(logger, "a query could not be answered", error, query=verb.name) from None
        if len(answer) > codec.MAXIMUM_ANSWER_BYTES:
            raise TooLarge(
                "the answer would not fit into a message",
                limit_bytes=codec.MAXIMUM_ANSWER_BYTES,
                size_bytes=len(answer),
            )
        return answer


def _answer(verb: QueryVerb, connection: Any, query: Any, principal: Principal) -> bytes:
    rights = principal.rights
    if rights.is_everything or not verb.reads:
        return verb.answer(connection, query)
    if verb.limited is None:
        raise Forbidden(f"{verb.name} is only for those who may read everything")
    return verb.limited(connection, query, rights)

"""Requests for state: answered from read-only connections, beside the writer."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import apsw
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from bus.contract import codec
from bus.contract.subjects import BusNames
from bus.incident import internal
from bus.log import chain
from bus.log.cloud_events import read_origin, scan_events, stream_events
from bus.log.reader_pool import PoolExhaustedError
from bus.serving.discovery import QUEUE_GROUP, Endpoint
from bus.tasks import Tasks
from bus.transport.connection import stop_receiving
from bus.writing.aggregates import Aggregate, read_aggregate
from domain.errors import Busy, Invalid, NotFound, Refusal, TooLarge, Unavailable
from domain.messages import Key, Time, stream_name

# One page or row, under the broker's 1 MiB.
MAXIMUM_ANSWER_BYTES = 900 * 1024
MAXIMUM_BODY_BYTES = 64 * 1024
MAXIMUM_UNDER_WAY = 2_000
# How many rows one reading of the log looks at, however few of them the filter lets through.
MAXIMUM_SCANNED_ROWS = 10_000
THREADS = 20

logger = logging.getLogger(__name__)


class QueryVerb(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be asked. `answer` gets a connection that cannot write, and the decoded query.

    It raises a `Refusal` where there is no answer. Without `reads`, it gets `None` instead, and is called at
    once on the loop's thread, however many others wait.
    """

    name: str
    shape: type[Any]
    answer: Callable[[Any, Any], bytes]
    reads: bool = True


class ReadEvents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events behind position `after`, of all tables, one table or one stream."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    table: Key | None = None
    stream: Annotated[str, msgspec.Meta(max_length=300)] | None = None


class Queries:
    """The query subjects of a service. Used from the event loop's thread; reading happens in threads."""

    def __init__(
        self,
        connection: Client,
        reader: Callable[[], AbstractContextManager[apsw.Connection]],
        names: BusNames,
        verbs: Mapping[str, QueryVerb],
        endpoints: Mapping[str, Endpoint],
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._names = names
        self._verbs = verbs
        self._endpoints = endpoints
        self._unknown = Endpoint(name="unknown", subject="")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="reader")
        self._under_way = Tasks()
        self.dropped = 0

    async def start(self) -> None:
        """Serves from now on."""
        self._subscription = await self._connection.subscribe(
            self._names.query(">"), queue=QUEUE_GROUP, cb=self._receive
        )

    async def stop(self) -> None:
        """Takes nothing more, and answers what was taken."""
        await stop_receiving(self._subscription)
        await self._under_way.finish()
        self._threads.shutdown()

    async def _receive(self, message: Msg) -> None:
        if not self._names.is_inbox(message.reply):
            self.dropped += 1
            return
        self._under_way.start(self._serve(message, time.perf_counter_ns()))

    async def _serve(self, message: Msg, arrived_ns: int) -> None:
        name = self._names.name_in(message.subject)
        refusal: Refusal | None = None
        try:
            body = await self.ask(name, message.data)
        except Refusal as error:
            refusal = error
            body = codec.error_body(error)
        self._endpoints.get(name, self._unknown).count(time.perf_counter_ns() - arrived_ns, refusal)
        headers = None if refusal is None else codec.error_headers(refusal)
        try:
            await self._connection.publish(message.reply, body, headers=headers)
        except NatsError as error:
            logger.warning("an answer could not be sent: %s", error)

    async def ask(self, name: str, body: bytes) -> bytes:
        """The answer to a query.

        Raises:
            Refusal: there is none.
        """
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
            return self._read(verb, query)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, verb, query)

    def _read(self, verb: QueryVerb, query: Any) -> bytes:
        try:
            with self._reader() if verb.reads else nullcontext() as connection:
                answer = verb.answer(connection, query)
        except Refusal:
            raise
        except PoolExhaustedError:
            raise Busy("all readers are busy", hint="try again", retry_after_ms=500) from None
        except (apsw.BusyError, apsw.IOError, apsw.FullError) as error:
            logger.exception("a query could not be read", extra={"query": verb.name})
            raise Unavailable("the store could not be read", hint="try again") from error
        except Exception as error:
            raise internal(logger, "a query could not be answered", error, query=verb.name) from None
        if len(answer) > MAXIMUM_ANSWER_BYTES:
            raise TooLarge(
                "the answer would not fit into a message",
                limit_bytes=MAXIMUM_ANSWER_BYTES,
                size_bytes=len(answer),
            )
        return answer


def history(connection: apsw.Connection, table: str, key: str, after: int, limit: int) -> bytes:
    """A stream's events behind version `after`: `{"items": […], "next": version or null}`.

    Raises:
        NotFound: the stream is empty.
    """
    events = stream_events(connection, read_origin(connection), stream_name(table, key), after)
    items: list[bytes] = []
    size = last = 0
    following = None
    for version, item in events:
        size += len(item) + 1
        if len(items) == limit or (items and size > MAXIMUM_ANSWER_BYTES - 100):
            following = last
            break
        items.append(item)
        last = version
    if not items and not chain.has_stream(connection, stream_name(table, key)):
        raise NotFound(f"there is no stream {stream_name(table, key)}")
    return b'{"items":[' + b",".join(items) + b'],"next":' + codec.encode(following) + b"}"


def as_of(
    connection: apsw.Connection,
    table: str,
    key: str,
    position: int | None,
    time_ms: int | None,
    row_json: Callable[[str, Aggregate], bytes | None],
) -> bytes:
    """The row of an aggregate as it was at a position, or at a time (milliseconds since the epoch).

    Raises:
        Invalid: not exactly one of the two is given.
        NotFound: there was none then.
    """
    if (position is None) == (time_ms is None):
        raise Invalid("either a position or a time", path="$")
    if position is None:
        position = chain.position_at(connection, time_ms or 0)
    row = row_json(table, read_aggregate(connection, table, key, up_to_position=position))
    if row is None:
        raise NotFound(f"there was no {stream_name(table, key)} at position {position}", position=position)
    return row


def read_events(connection: apsw.Connection, query: ReadEvents) -> bytes:
    """Events in order: `{"items": […], "next": …, "head": …}`.

    `next` is what to pass as `after` for the following page, and null at the head of the log, whose
    position is `head`.
    """
    if query.table is not None and query.stream is not None:
        raise Invalid("either a table or a stream", path="$")
    streams = pattern_of(query.table, query.stream)
    origin = read_origin(connection)
    head = chain.read_head(connection).position
    items: list[bytes] = []
    size = 0
    last = query.after
    for position, item in scan_events(
        connection, origin, query.after, streams=streams, limit=MAXIMUM_SCANNED_ROWS
    ):
        if item is not None:
            size += len(item) + 1
            if len(items) == query.limit or (items and size > MAXIMUM_ANSWER_BYTES - 100):
                break
            items.append(item)
        last = position
    following = last if last < head else None
    return b'{"items":[%s],"next":%s,"head":%d}' % (b",".join(items), codec.encode(following), head)


def pattern_of(table: str | None, stream: str | None) -> str:
    """A pattern (GLOB) of one stream, or else of one table's, or else of all."""
    if stream is not None:
        return _literally(stream)
    return "*" if table is None else f"{_literally(table)}/*"


def _literally(name: str) -> str:
    return re.sub(r"[*?\[]", lambda match: f"[{match[0]}]", name)


class Moment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A moment in the log: a position, or a time."""

    position: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    time: Time | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a stream: at most `limit` events behind version `after`."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100

"""Requests for state: answered from read-only connections, beside the writer.

    message ─▶ decode ─┬─ a row by its key ─────────────────▶ looked up at once ─┬─▶ answer
                       ├─ all else, or reading takes long ──▶ a reader's thread ─┤
                       ├─ asks for more than there is ─▶ waits ─▶ the same ──────┤
                       └─ what it asks for is still to come ─▶ waits, without a thread

Queries are received and answered in a thread of their own, so a disk that hangs stops nothing else. Each
answer says how new it is.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from bus.contract import codec
from bus.contract.log_places import is_for_leader, least_place
from bus.contract.names import no_such_query
from bus.contract.rights import UNKNOWN_PRINCIPAL, Principal
from bus.contract.senders import Sender, UserSubjects
from bus.log.reader_pool import ReaderPool
from bus.serving.admission import Admission, Way
from bus.serving.decoding import require_readable
from bus.serving.discovery import QUEUE_GROUP, Endpoint
from bus.serving.leader_door import LeaderDoor, nobody_leads
from bus.serving.queries.awaited_changes import AwaitedChanges
from bus.serving.queries.awaited_places import AwaitedPlaces
from bus.serving.queries.reading import QueryVerb, Reading, Reads
from bus.serving.queries.turns import Turns
from bus.transport.queue_age import QueueAge
from bus.writing.loop_thread import LoopThread
from bus.writing.waiting import BUSY_AFTER_MS
from domain.errors import Busy, Forbidden, Refusal, TooLarge, Unavailable
from hyperpage_client.contract.log_place import LogPlace
from hyperpage_client.tasks import Tasks
from hyperpage_client.transport.connection import LeanClient, stop_receiving
from hyperpage_client.transport.sending import RawMessage

MAXIMUM_BODY_BYTES = 64 * 1024
MAXIMUM_UNDER_WAY = 2_000

logger = logging.getLogger(__name__)


class Queries:
    """The query subjects of a service. Made in the service's loop; requests come in a loop of their own.

    `connect` makes the connection on which queries come in. `admission` is asked in any thread, and so are
    `place`, `leads` and `current_at`. `place` is the place of the log that readers see at least. `leads` says
    whether no other service can have had more of the log until now. `current_at` is when a follower was last
    known to have all of the log. `is_ours` says whether the store is this service's: while it is not, queries
    over NATS are not answered from it. Queries that would wait for longer than `busy_after_ms` are refused.
    With `has_others`, another service may lead: queries that only the leader may answer are passed on to it.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[LeanClient]],
        readers: ReaderPool,
        subjects: UserSubjects,
        verbs: Mapping[str, QueryVerb],
        endpoints: Mapping[str, Endpoint],
        admission: Admission,
        place: Callable[[], LogPlace],
        is_ours: Callable[[], bool] = lambda: True,
        busy_after_ms: int = BUSY_AFTER_MS,
        leads: Callable[[], bool] = lambda: True,
        *,
        current_at: Callable[[], float | None] = lambda: None,
        has_others: bool = False,
        changes: AwaitedChanges | None = None,
    ) -> None:
        self._connect = connect
        self._is_ours = is_ours
        self._reads = Reads(readers, place, current_at)
        self._has_others = has_others
        self._door: LeaderDoor | None = None
        self._leaders: list[Subscription] = []
        # Held while the service begins or ceases to answer as the leader, or stops.
        self._turn = asyncio.Lock()
        self._is_stopped = False
        self._subjects = subjects
        self._admission = admission
        self._connection: LeanClient | None = None
        self._subscriptions: list[Subscription] = []
        self._verbs = verbs
        self._endpoints = endpoints
        self._unknown = Endpoint(name="unknown", subject="")
        self._threads = ThreadPoolExecutor(20, thread_name_prefix="reader")
        self._loop = asyncio.get_running_loop()
        self.thread = LoopThread("queries")
        self._place = place
        self._leads = leads
        self._awaited = AwaitedPlaces(place, leads)
        self._changes = changes or AwaitedChanges()
        self._ended = asyncio.Event()
        # Used in `thread` alone.
        self._under_way = Tasks()
        self.turns = Turns(busy_after_ms)
        self.dropped = 0

    async def start(self) -> None:
        """Serves from now on.

        Raises:
            Whatever `connect` raises.
        """
        self.thread.start(self._live())
        try:
            await self.thread.run(self._start())
        except BaseException:
            await self._end()
            raise

    async def stop(self) -> None:
        """Takes no more queries, and answers those that were taken."""
        async with self._turn:
            self._is_stopped = True
            await self.thread.run(self._stop())
            await self._end()

    async def answer_for_all(self) -> None:
        """Answers from now on the queries, too, that only the leader may answer."""
        async with self._turn:
            if not self._is_stopped:
                await self.thread.run(self._take_the_door())

    async def leave_to_others(self) -> None:
        """Passes queries on from now on that only the leader may answer."""
        async with self._turn:
            if not self._is_stopped:
                await self.thread.run(self._leave_the_door())

    def end_waits(self) -> None:
        """Refuses queries that wait for an event, and new ones of this kind: the service ends."""
        self.thread.call_soon(self._changes.close)

    @property
    def is_connected(self) -> bool:
        """Whether queries can come in over NATS."""
        return self._connection is not None and self._connection.is_connected

    @property
    def away(self) -> frozenset[str]:
        """The tables whose packages are not installed: their commands and queries are refused."""
        return self._admission.away

    async def _end(self) -> None:
        self.thread.call_soon(self._ended.set)
        await asyncio.to_thread(self.thread.join)
        self._threads.shutdown()

    async def _live(self) -> None:
        await self._ended.wait()

    async def _start(self) -> None:
        self._connection = connection = await self._connect()
        self._age = QueueAge(connection)
        self.thread.ending.push_async_callback(connection.close)
        self.thread.ending.callback(self._reads.lookups.close)
        for subject in self._subjects.arrivals(self._subjects.names.query(">")):
            self._subscriptions.append(
                await connection.subscribe_direct(subject, queue=QUEUE_GROUP, handler=self._receive)
            )
        if self._has_others:
            self._door = LeaderDoor(connection, self._subjects, self._send)
            await self._door.start()
        await connection.flush()

    async def _stop(self) -> None:
        await self._leave_the_door()
        for subscription in self._subscriptions:
            await stop_receiving(subscription)
        self._awaited.close()
        self._changes.close()
        await self._under_way.finish()

    async def _take_the_door(self) -> None:
        if (door := self._door) is None:
            return
        assert self._connection is not None
        for subject in door.arrivals(self._subjects.names.query(">")):
            self._leaders.append(
                await self._connection.subscribe_direct(
                    subject, queue=QUEUE_GROUP, handler=self._receive_passed_on
                )
            )
        # The door is open before other services are told who leads.
        await self._connection.flush()

    async def _leave_the_door(self) -> None:
        leaders, self._leaders = self._leaders, []
        for subscription in leaders:
            await stop_receiving(subscription)

    def _receive_passed_on(
        self, subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes
    ) -> None:
        assert self._door is not None
        # It is not passed on a second time.
        self._receive(*self._door.came_to(subject, reply), headers, body, may_pass_on=False)

    def _receive(
        self,
        subject: str,
        reply: str,
        headers: Mapping[str, str] | None,
        body: bytes,
        *,
        may_pass_on: bool = True,
    ) -> None:
        found = self._admission.find(subject, reply)
        if found is None:
            self.dropped += 1
            return
        request = _Request(*found, body, self._age.since(time.perf_counter_ns()))
        verb = self._verbs.get(request.sender.name)
        is_quick = verb is not None and verb.is_lookup and self._reads.lookups.are_quick
        try:
            least = None
            if headers:
                require_readable(headers)
                least = least_place(headers)
                if is_for_leader(headers):
                    if may_pass_on and self._door is not None and not self._leads():
                        self._send(self._door.passed_on(subject, request.sender, headers, body))
                        return
                    request = request._replace(is_for_leader=True)
            if verb is not None and verb.reads:
                self.turns.require(request.principal.name, request.arrived_ns, needs_thread=not is_quick)
            if verb is None or not is_quick or not self._is_at(least):
                self._under_way.start(self._serve(request, least))
                return
            query = _query(verb, body)
            if least is not None:
                self._reads.lookups.see(least)
            self._answer(request, self._reads.look_up(verb, query, request.principal))
        except Refusal as refusal:
            self._answer(request, Reading.refused(refusal))

    async def _serve(self, request: "_Request", least: LogPlace | None) -> None:
        try:
            asked = request.sender.name, request.body, request.principal, request.arrived_ns
            self._answer(request, await self._ask(*asked, least))
        except Refusal as refusal:
            self._answer(request, Reading.refused(refusal))

    def _answer(self, request: "_Request", reading: Reading) -> None:
        sender = request.sender
        verb = self._verbs.get(sender.name)
        # Checked after the reading: if the store is still this service's, no other service had answered a
        # command that the reading lacks. Over NATS the caller cannot tell which service answers; over HTTP it
        # asks for the store of this service.
        if verb is not None and verb.reads and not self._is_ours():
            reading = Reading.refused(
                Unavailable("another service may have taken over the store", hint="try again")
            )
        # Checked after the reading, too: while this service leads, no other has answered a command.
        if request.is_for_leader and not self._leads():
            reading = Reading.refused(nobody_leads())
        body, _, refusal, _ = reading
        if isinstance(refusal, Forbidden):
            self._admission.may_not(request.principal, "query.ask", sender.name)
        endpoint = self._endpoints.get(sender.name, self._unknown)
        endpoint.count(time.perf_counter_ns() - request.arrived_ns, refusal)
        headers = reading.headers
        if refusal is not None:
            headers = {**codec.error_headers(refusal), **(headers or {})}
        self._send((sender.reply, "", body, headers))

    def _send(self, message: RawMessage) -> None:
        connection = self._connection
        assert connection is not None, "it came over it"
        with _may_fail_to_send():
            if not connection.publish_soon(message):
                self._under_way.start(_send_slowly(connection, message))

    async def ask(
        self,
        name: str,
        body: bytes,
        principal: Principal = UNKNOWN_PRINCIPAL,
        way: Way = "http",
        *,
        least: LogPlace | None = None,
        for_leader: bool = False,
    ) -> Reading:
        """The result of a principal's query, read when the log has reached the place `least`.

        With `for_leader`, the query is refused unless this service still leads after the reading.

        Raises:
            Refusal: nothing was read, or this service does not lead.
        """
        arrived_ns = time.perf_counter_ns()
        verb = self._verbs.get(name)
        if verb is not None and verb.reads:
            self.turns.require(principal.name, arrived_ns, needs_thread=True)
        reading = await self._ask(name, body, principal, arrived_ns, least)
        if for_leader and not self._leads():
            raise nobody_leads()
        if isinstance(reading.refusal, Forbidden):
            self._admission.may_not(principal, "query.ask", name, way)
        return reading

    async def _ask(
        self, name: str, body: bytes, principal: Principal, arrived_ns: int, least: LogPlace | None
    ) -> Reading:
        verb = self._verbs.get(name)
        if verb is None:
            raise no_such_query(name, self._admission.away)
        # Queries that wait for a position or an event do not count.
        waiting = self._awaited.waiting + self._changes.waiting
        if verb.reads and len(self._under_way) > MAXIMUM_UNDER_WAY + waiting:
            raise Busy("too many queries are under way", hint="try again", retry_after_ms=100)
        query = _query(verb, body)
        loop = asyncio.get_running_loop()
        if not verb.reads:
            said = self._reads.say(verb, query, principal)
            if loop is self._loop:
                return await said
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(said, self._loop))
        if least is not None and not self._is_at(least):
            reach = self._awaited.reach(least)
            await (reach if self.thread.is_current else self.thread.run(reach))
            # The wait for the log does not count as overload.
            arrived_ns = time.perf_counter_ns()
        if verb.awaits is not None:
            later = self._changes.read_later(
                verb.awaits,
                query,
                lambda: self._read_soon(verb, query, principal, time.perf_counter_ns()),
                principal.name,
            )
            return await (later if self.thread.is_current else self.thread.run(later))
        return await self._read_soon(verb, query, principal, arrived_ns)

    async def _read_soon(self, verb: QueryVerb, query: Any, principal: Principal, arrived_ns: int) -> Reading:
        number = self.turns.wait(arrived_ns)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._read_in_turn, number, verb, query, principal
            )
        finally:
            self.turns.end_wait(number)

    def _is_at(self, least: LogPlace | None) -> bool:
        return least is None or self._place().has(least)

    def _read_in_turn(self, number: int, verb: QueryVerb, query: Any, principal: Principal) -> Reading:
        self.turns.end_wait(number)
        return self._reads.read(verb, query, principal)


class _Request(NamedTuple):
    """A query as it came over NATS."""

    sender: Sender
    principal: Principal
    body: bytes
    arrived_ns: int
    is_for_leader: bool = False


@contextmanager
def _may_fail_to_send() -> Iterator[None]:
    try:
        yield
    except NatsError as error:
        logger.warning("an answer could not be sent: %s", error)


async def _send_slowly(connection: LeanClient, answer: RawMessage) -> None:
    """Sends an answer as soon as the socket has taken what was sent before."""
    with _may_fail_to_send():
        await connection.publish_many((answer,))


def _query(verb: QueryVerb, body: bytes) -> Any:
    if len(body) > MAXIMUM_BODY_BYTES:
        raise TooLarge(
            f"a query has at most {MAXIMUM_BODY_BYTES} bytes",
            hint="ask for less at once: shorter filters, or several queries",
            limit_bytes=MAXIMUM_BODY_BYTES,
            size_bytes=len(body),
        )
    return codec.decode(verb.shape, body, name=verb.name)

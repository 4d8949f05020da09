"""Requests in, answers out: commands go to the writer, and their outcomes back to their senders.

    message ─▶ decode ─┐                    ┌─▶ answer
    message ─▶ decode ─┼─▶ writer: a group ─┼─▶ answer
    message ─▶ decode ─┘                    └─▶ answer

All of this happens in the writer's thread, on a connection in that thread's loop. So a command that comes
over NATS is never handed from one thread to another.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

import msgspec
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from bus.contract import codec
from bus.contract.rights import UNKNOWN_PRINCIPAL, Principal
from bus.contract.senders import UserSubjects
from bus.measures import UNKNOWN, Tally
from bus.serving.admission import Admission, Way
from bus.serving.decoding import count_turned_away, submission_of
from bus.serving.discovery import QUEUE_GROUP, Endpoint
from bus.serving.leader_door import LeaderDoor
from bus.transport.queue_age import QueueAge
from bus.writing.submission import Outcome, Submission, refused
from bus.writing.waiting import RETRY_AFTER_MS
from bus.writing.writer import Writer
from domain.errors import Busy, Refusal
from hyperpage_client.tasks import Tasks, settle
from hyperpage_client.transport.connection import LeanClient, stop_receiving
from hyperpage_client.transport.sending import RawMessage

# How long the broker has to take the last answers.
FLUSH_SECONDS = 2
# The most commands that are kept for the service that leads next.
MAXIMUM_HELD = 20_000
MAXIMUM_HELD_BYTES = 64 * 1024 * 1024
# A command that waited at the broker for longer than this shows that reading does not keep up.
READ_LATE_NS = 100_000_000

logger = logging.getLogger(__name__)


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The receiver of a submission's outcome: a reply subject, or a future in this process.

    `arrived_ns` is when the command began to wait at the broker, as far as that is known.
    """

    reply: str
    endpoint: Endpoint
    arrived_ns: int
    waiting: asyncio.Future[Outcome] | None = None


class Intake:
    """The command subjects of a service. Made in the service's loop; commands come in the writer's loop.

    `connect` makes the connection on which commands come in. `admission` is asked in the writer's thread.
    With `has_others`, another service may lead next, or have led before. `dropped` counts requests that were
    not carried out, because their user is unknown or their reply subject is not one of its inboxes.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[LeanClient]],
        writer: Writer,
        subjects: UserSubjects,
        endpoints: Mapping[str, Endpoint],
        admission: Admission,
        *,
        has_others: bool = False,
    ) -> None:
        self._has_others = has_others
        self._door: LeaderDoor | None = None
        self._connect = connect
        self._connection: LeanClient | None = None
        self._writer = writer
        self._subjects = subjects
        self._endpoints = endpoints
        self._admission = admission
        self._unknown = Endpoint(name="unknown", subject="")
        self._subscriptions: list[Subscription] = []
        self._refused: list[Submission] = []
        # The messages that came since `hold`, not decoded.
        self._held: list[RawMessage] | None = None
        self._held_bytes = 0
        self._too_many_held = refused(
            Busy("too many commands wait for the next leader", retry_after_ms=RETRY_AFTER_MS)
        )
        self._sending = Tasks()
        self._loop = asyncio.get_running_loop()
        self.dropped = 0
        # Commands that were refused before they reached the writer, which counts the others.
        self.refused = Tally()

    @property
    def is_connected(self) -> bool:
        """Whether commands can come in over NATS."""
        return self._connection is not None and self._connection.is_connected

    async def start(self) -> None:
        """Serves from now on, until the writer ends. The writer has to run already.

        Raises:
            Whatever `connect` raises.
        """
        await self._writer.thread.run(self._start())

    async def stop(self) -> None:
        """Takes no more commands; those that were taken are still answered."""
        if self._writer.is_alive:
            await self._writer.thread.run(self._stop())

    async def hold(self) -> None:
        """Keeps commands that come from now on, undecided, until `pass_on`; called once, before `stop`."""
        await self._writer.thread.run(self._hold())

    async def pass_on(self) -> None:
        """Takes no more commands, and passes the kept ones on: another service takes commands by now."""
        await self._writer.thread.run(self._pass_on())

    async def _hold(self) -> None:
        self._held = []

    async def _pass_on(self) -> None:
        assert self._connection is not None
        assert self._door is not None
        await self._stop()
        held, self._held = self._held or [], []
        passed_on = []
        for subject, reply, body, headers in held:
            found = self._admission.find(subject, reply)
            if found is None:
                self.dropped += 1
            else:
                passed_on.append(self._door.passed_on(subject, found[0], headers, body))
        await self._connection.publish_many(passed_on)
        # By the end of the flush, the broker has said for which of them there is no leader, and those are
        # answered as well.
        await self._connection.flush(timeout=FLUSH_SECONDS)

    async def _start(self) -> None:
        self._connection = connection = await self._connect()
        self._age = QueueAge(connection)
        self._writer.thread.ending.push_async_callback(self._close, connection)
        # One subscription for all verbs, so that the commands of one client are decided in the order in which
        # it sends them. All go to the writer; if it refuses more, the sender is told.
        for subject in self._subjects.arrivals(self._subjects.names.command(">")):
            self._subscriptions.append(
                await connection.subscribe_direct(subject, queue=QUEUE_GROUP, handler=self._receive)
            )
        if self._has_others:
            await self._open_door(connection)
        await connection.flush()

    async def _open_door(self, connection: LeanClient) -> None:
        self._door = door = LeaderDoor(
            connection, self._subjects, lambda answer: self._send(connection, [answer])
        )
        await door.start()
        for subject in door.arrivals(self._subjects.names.command(">")):
            self._subscriptions.append(
                await connection.subscribe_direct(subject, queue=QUEUE_GROUP, handler=self._receive_passed_on)
            )

    async def _stop(self) -> None:
        # Empty if the service could not start, or has passed its commands on.
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await stop_receiving(subscription)

    def _receive_passed_on(
        self, subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes
    ) -> None:
        assert self._door is not None
        self._receive(*self._door.came_to(subject, reply), headers, body)

    def _receive(self, subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes) -> None:
        if self._held is not None and self._has_room_to_hold:
            self._held.append((subject, reply, body, headers))
            self._held_bytes += len(body) + sum(map(len, (headers or {}).values()))
            return
        found = self._admission.find(subject, reply)
        if found is None:
            # No answer: it would be published with the service's rights, where the sender may have none.
            self.dropped += 1
            return
        sender, principal = found
        endpoint = self._endpoints.get(sender.name, self._unknown)
        now = time.perf_counter_ns()
        arrived = self._age.since(now)
        if now - arrived > READ_LATE_NS:
            self._writer.queue.is_read_late = True
        caller = Caller(sender.reply, endpoint, arrived)
        if self._held is None:
            submission = self._read(sender.name, body, headers, caller, principal)
        else:
            # Decided here, it would be decided before those that are kept for the next leader.
            submission = _undecided(self._too_many_held, caller)
        if not self._is_taken(sender.name, submission, principal):
            self._turn_away(sender.name, submission)

    @property
    def _has_room_to_hold(self) -> bool:
        assert self._held is not None
        return len(self._held) < MAXIMUM_HELD and self._held_bytes < MAXIMUM_HELD_BYTES

    def _read(
        self,
        name: str,
        body: bytes,
        headers: Mapping[str, str] | None,
        caller: Caller,
        principal: Principal,
    ) -> Submission:
        """A message as a submission. A command that would wait too long is refused without being decoded."""
        outcome = self._writer.queue.too_late(principal.name, caller.arrived_ns)
        if outcome is not None:
            return _undecided(outcome, caller)
        away = self._admission.away
        return submission_of(name, body, headers, caller, principal=principal, away=away)

    async def carry_out(
        self, name: str, body: bytes, headers: Mapping[str, str], principal: Principal = UNKNOWN_PRINCIPAL
    ) -> Outcome:
        """The outcome of a command that did not come over the broker. The same limits hold.

        `principal` is the user or the token that the command comes from.
        """
        endpoint = self._endpoints.get(name, self._unknown)
        waiting: asyncio.Future[Outcome] = self._loop.create_future()
        caller = Caller("", endpoint, time.perf_counter_ns(), waiting)
        submission = self._read(name, body, headers, caller, principal)
        if not self._is_taken(name, submission, principal, "http"):
            # Counts belong to the writer's thread, which may have ended.
            self._writer.thread.call_soon(self._turn_away, name, submission)
            assert submission.outcome is not None
            return submission.outcome
        return await waiting

    def _is_taken(self, name: str, submission: Submission, principal: Principal, way: Way = "nats") -> bool:
        if submission.batch or submission.outcome is not None:
            self._admission.refused(principal, name, submission, way)
        return submission.outcome is None and not self._writer.submit([submission])

    def _turn_away(self, name: str, submission: Submission) -> None:
        """Answers a command that the writer did not take, together with others of this turn of the loop."""
        refusal = submission.requests[0]
        if isinstance(refusal, Refusal) and submission.size_bytes == 0:
            is_known = submission.context.endpoint is not self._unknown
            self.refused.add(name if is_known else UNKNOWN, refusal.code)
        else:
            count_turned_away(self.refused, [submission])
        if not self._refused:
            asyncio.get_running_loop().call_soon(self._answer_refused)
        self._refused.append(submission)

    def _answer_refused(self) -> None:
        refused, self._refused = self._refused, []
        self.answer(refused)

    def answer(self, submissions: Iterable[Submission]) -> list[Submission]:
        """Sends outcomes to their callers; the submissions that are not of `Caller`s are returned.

        Called in the writer's thread.
        """
        now = time.perf_counter_ns()
        answers: list[RawMessage] = []
        in_process: list[tuple[asyncio.Future[Outcome], Outcome]] = []
        others = []
        for one in submissions:
            caller, outcome = one.context, one.outcome
            if not isinstance(caller, Caller) or outcome is None:
                others.append(one)
                continue
            refusal = outcome.refusal
            caller.endpoint.count(now - caller.arrived_ns, refusal)
            if caller.waiting is not None:
                in_process.append((caller.waiting, outcome))
                continue
            headers = None if refusal is None else codec.error_headers(refusal)
            answers.append((caller.reply, "", outcome.body, headers))
        if answers and self._connection is not None:
            self._send(self._connection, answers)
        if in_process:
            # If the loop is closed, no caller waits any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_tell, in_process)
        return others

    def _send(self, connection: LeanClient, answers: list[RawMessage]) -> None:
        try:
            if not connection.publish_now(answers):
                self._sending.start(_send_slowly(connection, answers))
        except NatsError as error:
            if len(answers) == 1:
                # The answer is stored: a sender that gave a command id asks again, and gets the same one.
                logger.warning("an answer could not be sent: %s", error)
                return
            # None was sent, perhaps because of only one of them.
            for answer in answers:
                self._send(connection, [answer])

    async def _close(self, connection: LeanClient) -> None:
        await self._sending.finish()
        try:
            await connection.flush(timeout=FLUSH_SECONDS)
        except (OSError, NatsError, TimeoutError) as error:
            logger.warning("some answers were not sent, since the broker is away: %s", error)
        await connection.close()


def _tell(outcomes: list[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    for waiting, outcome in outcomes:
        settle(waiting, outcome)


async def _send_slowly(connection: LeanClient, answers: list[RawMessage]) -> None:
    """Sends answers one by one as the socket takes them: together, they exceed the connection's buffer."""
    for answer in answers:
        try:
            await connection.publish_many((answer,))
        except NatsError as error:
            logger.warning("an answer could not be sent: %s", error)


def _undecided(outcome: Outcome, caller: Caller) -> Submission:
    """A command that is refused without being decoded."""
    assert outcome.refusal is not None
    return Submission(requests=[outcome.refusal], size_bytes=0, context=caller, outcome=outcome)

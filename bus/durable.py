"""Durable commands: stored by a stream before anybody looks at them, answered by a message that is kept.

    stream COMMANDS ─ pull ─▶ writer ─ commit ─▶ stream RESULTS ─ stored ─▶ acknowledge the command

A command is acknowledged only after its answer is stored, so it is delivered again whatever breaks in
between, and its command id makes the second time harmless. What cannot be processed at all goes to the dead
letters, and its sender gets the reason as a result, too.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from bus import codec
from bus.dead_letters import DeadLetters
from bus.headers import COMMAND_ID, REPLY_TO
from bus.identifiers import new_id
from bus.intake import refused_submission, submission_of
from bus.nats_users import RELAY, RESPONDER, private_inbox
from bus.streams import ensure_stream
from bus.subjects import BATCH, BusNames
from bus.submission import Submission
from bus.tasks import Tasks
from bus.writer import Writer
from domain.errors import Busy, Internal, Invalid, Refusal, Unavailable

RESULTS_KEPT_SECONDS = 24 * 3600.0
# Two pulls are outstanding, so that the broker never waits for the next one.
PULLS = 2
PULL_BATCH = 500
# A pull that the broker forgot (it was restarted, say) is noticed after the second of these.
PULL_EXPIRES_SECONDS = 2.0
PULL_LOST_SECONDS = 3.0
MAXIMUM_UNACKNOWLEDGED = 5_000
ACK_WAIT_SECONDS = 30.0
RETRY_SECONDS = 1.0
# A command that fails here this often, for a reason that is not its own, is put aside.
MAXIMUM_FAILURES = 5

logger = logging.getLogger(__name__)


class Delivery(msgspec.Struct, frozen=True):
    """One delivered command, on its way to an answer."""

    name: str
    command_id: str
    reply: str | None
    acknowledgement: str
    sequence: int
    delivered: int
    headers: Mapping[str, str]
    body: bytes


class DurableIntake:
    """Takes durable commands from their stream. Used from the event loop's thread only.

    `relay` is the connection that may consume the commands, `responder` the one that may store results.
    """

    def __init__(
        self, relay: Client, responder: Client, writer: Writer, names: BusNames, dead_letters: DeadLetters
    ) -> None:
        self._relay = relay
        self._responder = responder
        self._writer = writer
        self._names = names
        self._dead_letters = dead_letters
        self._jetstream = relay.jetstream(timeout=5)
        self._consumer = ""
        self._choosing = asyncio.Lock()
        self._created_ms = 0
        self._inbox = f"{private_inbox(RELAY)}.{new_id()}"
        self._results_inbox = f"{private_inbox(RESPONDER)}.{new_id()}"
        self._pulls: dict[str, tuple[float, int]] = {}
        self._unstored: dict[str, str] = {}
        self._arrived: list[Submission] = []
        self._under_way = Tasks()
        self._stopping = False
        self.dropped = 0

    async def prepare(self) -> None:
        """Streams and consumer are there when this returns."""
        await ensure_stream(
            self._jetstream,
            StreamConfig(
                name=self._names.results,
                subjects=[self._names.result_filter],
                storage=StorageType.FILE,
                max_age=RESULTS_KEPT_SECONDS,
                max_msgs_per_subject=1,
                allow_direct=True,
            ),
        )
        await self._prepare_commands(afresh=True)

    async def _prepare_commands(self, *, afresh: bool = False) -> None:
        info = await ensure_stream(
            self._jetstream,
            StreamConfig(
                name=self._names.commands,
                subjects=[self._names.durable_command(">")],
                storage=StorageType.FILE,
                retention=RetentionPolicy.WORK_QUEUE,
            ),
        )
        # A stream that was made anew counts from 1 again; its time tells its commands from the old one's.
        self._created_ms = int(info.created.timestamp() * 1000) if info.created else 0
        async with self._choosing:
            await self._choose_consumer(afresh=afresh)

    async def _choose_consumer(self, *, afresh: bool) -> None:
        consumers = await self._jetstream.consumers_info(self._names.commands)
        if afresh:
            # What was on its way when the service or the broker was killed would come again after
            # ACK_WAIT_SECONDS only, behind what was sent later. A new consumer gets it at once, and in order.
            while consumers:
                await self._jetstream.delete_consumer(self._names.commands, consumers.pop().name)
        if consumers:
            self._consumer = consumers[0].name
            return
        # Not to be guessed: whoever knows the name could have commands delivered to nobody.
        self._consumer = f"service-{new_id()}"
        await self._jetstream.add_consumer(
            self._names.commands,
            ConsumerConfig(
                durable_name=self._consumer,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_SECONDS,
                max_ack_pending=MAXIMUM_UNACKNOWLEDGED,
                max_deliver=-1,
            ),
        )

    async def run(self) -> None:
        """Serves until `stop`."""
        await self._responder.subscribe(f"{self._results_inbox}.*", cb=self._result_stored)
        await self._relay.subscribe(
            f"{self._inbox}.*", cb=self._receive, pending_msgs_limit=0, pending_bytes_limit=0
        )
        reconnects = self._relay.stats["reconnects"]
        while not self._stopping:
            seen = self._relay.stats["reconnects"]
            if seen != reconnects and await self._begin_anew():
                reconnects = seen
            now = time.monotonic()
            lost = [token for token, (asked, _) in self._pulls.items() if now - asked > PULL_LOST_SECONDS]
            for token in lost:
                del self._pulls[token]
            try:
                while len(self._pulls) < PULLS and not self._stopping:
                    await self._pull()
            except NatsError as error:
                logger.warning("durable commands cannot be asked for: %s", error)
            await asyncio.sleep(PULL_EXPIRES_SECONDS / 4)

    async def _begin_anew(self) -> bool:
        """Whether a broker that came back has the streams, and is asked for all that was on its way."""
        try:
            await self.prepare()
            await self._dead_letters.prepare()
        except (NatsError, TimeoutError) as error:
            logger.warning("durable commands cannot be asked for again yet: %s", error)
            return False
        self._pulls.clear()
        return True

    async def stop(self) -> None:
        """Asks for no more; what was taken and is not answered in time is delivered again later."""
        self._stopping = True
        await self._under_way.finish()

    async def _pull(self) -> None:
        token = new_id()
        self._pulls[token] = (time.monotonic(), PULL_BATCH)
        request = {"batch": PULL_BATCH, "expires": int(PULL_EXPIRES_SECONDS * 1e9)}
        await self._relay.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._names.commands}.{self._consumer}",
            codec.encode(request),
            reply=f"{self._inbox}.{token}",
        )

    async def _receive(self, message: Msg) -> None:
        # The subject of a delivered message is its own; the pull it answers is not named in it.
        if not message.reply:
            await self._pull_ended(message)
            return
        self._count_one()
        submission = self._submission(message)
        if submission is None:
            return
        if submission.outcome is not None:
            self.answered(submission)
            return
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._arrived.append(submission)

    def _count_one(self) -> None:
        # Pulls are served in the order in which they were made.
        for token, (asked, left) in self._pulls.items():
            if left > 1:
                self._pulls[token] = (asked, left - 1)
            else:
                del self._pulls[token]
                self._under_way.start(self._pull())
            return

    async def _pull_ended(self, message: Msg) -> None:
        self._pulls.pop(message.subject.rpartition(".")[2], None)
        status = (message.headers or {}).get("Status", "")
        if status in ("404", "503"):
            # The stream or the consumer is gone.
            try:
                await self._prepare_commands()
            except (NatsError, TimeoutError, NotFoundError) as error:
                logger.warning("the stream of durable commands cannot be made: %s", error)
        elif len(self._pulls) < PULLS and not self._stopping:
            await self._pull()

    def _submission(self, message: Msg) -> Submission | None:
        headers = message.headers or {}
        meta = message.metadata
        sequence = meta.sequence.stream
        fallback = self._name_of(sequence)
        reply = headers.get(REPLY_TO)
        delivery = Delivery(
            name=self._names.name_in(message.subject),
            command_id=_usable(headers.get(COMMAND_ID)) or fallback,
            reply=reply,
            acknowledgement=message.reply,
            sequence=sequence,
            delivered=meta.num_delivered or 1,
            headers=headers,
            body=message.data,
        )
        if reply is not None and not self._names.is_named_inbox(reply):
            self.dropped += 1
            self._under_way.start(self._acknowledge(delivery.acknowledgement, b"+TERM"))
            return None
        if delivery.name == BATCH:
            refusal = Invalid("a batch is a request; send its commands one by one", path="$")
            return refused_submission(refusal, delivery)
        return submission_of(delivery.name, message.data, headers, delivery, fallback_id=fallback)

    def _name_of(self, sequence: int) -> str:
        """What a stored command is called where its sender gave it no id."""
        return f"durable-{self._created_ms}-{sequence}"

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        for refused in self._writer.submit(arrived):
            self.answered(refused)

    def answered(self, submission: Submission) -> None:
        """Takes up the outcome of a durable command."""
        self._under_way.start(self._conclude(submission.context, submission))

    async def _conclude(self, delivery: Delivery, submission: Submission) -> None:
        assert submission.outcome is not None
        refusal = submission.outcome.refusal
        try:
            if isinstance(refusal, Busy | Unavailable) or (
                isinstance(refusal, Internal) and delivery.delivered < MAXIMUM_FAILURES
            ):
                delay = b'-NAK {"delay": %d}' % int(RETRY_SECONDS * 1e9)
                await self._acknowledge(delivery.acknowledgement, delay)
                return
            if isinstance(refusal, Internal) or not _was_decided(submission, refusal):
                headers = {**delivery.headers, COMMAND_ID: delivery.command_id}
                await self._dead_letters.put(
                    delivery.name,
                    delivery.body,
                    headers,
                    refusal,
                    message_id=self._name_of(delivery.sequence),
                )
            await self._store_result(delivery, submission.outcome.body, refusal)
        except (NatsError, TimeoutError) as error:
            # Not acknowledged: it is delivered again, and its id gets the same answer.
            logger.warning("a durable command's answer could not be stored yet: %s", error)

    async def _store_result(self, delivery: Delivery, body: bytes, refusal: Refusal | None) -> None:
        headers = None if refusal is None else codec.error_headers(refusal)
        token = str(delivery.sequence)
        self._unstored[token] = delivery.acknowledgement
        await self._responder.publish(
            self._names.result(delivery.command_id),
            body,
            reply=f"{self._results_inbox}.{token}",
            headers=headers,
        )
        if delivery.reply is not None:
            await self._responder.publish(delivery.reply, body, headers=headers)

    async def _result_stored(self, message: Msg) -> None:
        answer: dict[str, Any] = msgspec.json.decode(message.data) if message.data else {"error": "no stream"}
        acknowledgement = self._unstored.pop(message.subject.rpartition(".")[2], None)
        if acknowledgement is None:
            return
        if "error" in answer:
            logger.warning("an answer was not stored: %s", answer["error"])
            return
        await self._acknowledge(acknowledgement, b"+ACK")

    async def _acknowledge(self, subject: str, how: bytes) -> None:
        try:
            await self._relay.publish(subject, how)
        except NatsError as error:
            logger.warning("a durable command could not be acknowledged yet: %s", error)


def _usable(command_id: str | None) -> str | None:
    """An id that a result can be addressed to; one that is too long is refused, and told under another."""
    if command_id is None or len(command_id) > codec.MAXIMUM_COMMAND_ID_CHARACTERS:
        return None
    return command_id


def _was_decided(submission: Submission, refusal: Refusal | None) -> bool:
    """Whether the domain had its say: else the message itself cannot be processed, now or later."""
    return refusal is None or not isinstance(submission.requests[0], Refusal)

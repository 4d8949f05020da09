"""Durable commands: stored by a stream before anybody looks at them, answered by a message that is kept.

    stream COMMANDS ─ consumer ─▶ writer ─ commit ─▶ stream RESULTS ─ stored ─▶ acknowledge the command

A command is acknowledged only after its answer is stored, so it is delivered again whatever breaks in
between, and its command id makes the second time harmless. What cannot be processed at all goes to the dead
letters, and its sender gets the reason as a result, too.

Commands are decided in the order in which the stream has them, also when the store cannot be written for a
while, or service and broker are killed: one portion at a time is with the writer, which gives up the rest of
a portion with its first part; then all that is not acknowledged is asked for again, from the first one on.
Two kinds are decided again behind later ones: a command that a defect of the service kept from being decided,
and a refused one whose answer could not be stored. (An accepted one is only answered again.)
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import datetime

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import StorageType, StreamConfig

from bus.broker.users import RESPONDER, private_inbox
from bus.contract import codec
from bus.contract.headers import COMMAND_ID, REPLY_TO
from bus.contract.subjects import BATCH, BusNames
from bus.identifiers import new_id
from bus.measures import UNKNOWN, Tally
from bus.serving.dead_letters import DeadLetters
from bus.serving.decoding import count_turned_away, refused_submission, submission_of
from bus.serving.durable_consumer import DurableConsumer
from bus.tasks import Tasks
from bus.transport.ensured_streams import ensure_stream
from bus.transport.jetstream_answers import stored
from bus.waiting import is_set_within
from bus.writing.submission import Outcome, Submission
from bus.writing.writer import Writer
from domain.catalogue import VERBS
from domain.errors import Busy, Internal, Invalid, Refusal, Unavailable

RESULTS_KEPT_SECONDS = 24 * 3600.0
# How often the streams are checked; nothing tells us when one is deleted.
LOOK_SECONDS = 1.0
# An answer that is not known to be stored after this time is taken for lost.
STORED_WITHIN_SECONDS = 5.0
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
        self._consumer = DurableConsumer(relay, names, take=self._take)
        self._results_inbox = f"{private_inbox(RESPONDER)}.{new_id()}"
        self._results_created: datetime | None = None
        # Answers that were sent to be stored: how the command is acknowledged, when (by the monotonic clock).
        self._unstored: dict[str, tuple[str, float]] = {}
        self._arrived: list[Submission] = []
        # How many commands the writer has.
        self._undecided = 0
        self._under_way = Tasks()
        self._stopping = asyncio.Event()
        self.dropped = 0
        # Commands that never came to the writer, which counts the others.
        self.refused = Tally()

    async def prepare(self) -> None:
        """Streams and consumer are there when this returns."""
        await self._prepare_results()
        await self._consumer.prepare()

    async def run(self) -> None:
        """Serves until `stop`."""
        await self._responder.subscribe(f"{self._results_inbox}.*", cb=self._result_stored)
        await asyncio.gather(self._consumer.run(), self._look_after_streams())

    async def stop(self) -> None:
        """Asks for no more; what was taken and is not answered in time is delivered again later."""
        self._stopping.set()
        await self._consumer.stop()
        await self._under_way.finish()

    async def _prepare_results(self) -> bool:
        """Whether the stream is another one than it was."""
        info = await ensure_stream(
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
        is_another = info.created != self._results_created
        self._results_created = info.created
        return is_another

    async def _look_after_streams(self) -> None:
        """Makes deleted streams anew, and has commands answered again whose answers were not stored."""
        while not await is_set_within(self._stopping, LOOK_SECONDS * 1000):
            if not self._relay.is_connected:
                continue
            lost_before = time.monotonic() - STORED_WITHIN_SECONDS
            try:
                if await self._prepare_results():
                    lost_before = time.monotonic()
                await self._dead_letters.prepare()
            except (NatsError, TimeoutError) as error:
                logger.warning("the streams behind durable commands are not there: %s", error)
            lost = [token for token, (_, sent_at) in self._unstored.items() if sent_at < lost_before]
            for token in lost:
                await self._try_again(self._unstored.pop(token)[0])

    def _take(self, message: Msg) -> None:
        submission = self._submission(message)
        if submission is None:
            return
        if submission.outcome is not None and submission.outcome.refusal is not None:
            name = submission.context.name
            self.refused.add(name if name in VERBS else UNKNOWN, submission.outcome.refusal.code)
            self._settle(submission)
            return
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._arrived.append(submission)

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
            self._under_way.start(self._consumer.acknowledge(delivery.acknowledgement, b"+TERM"))
            return None
        if delivery.name == BATCH:
            refusal = Invalid("a batch is a request; send its commands one by one", path="$")
            return refused_submission(refusal, delivery)
        return submission_of(delivery.name, message.data, headers, delivery, fallback_id=fallback)

    def _name_of(self, sequence: int) -> str:
        """The id of a stored command to which its sender gave none."""
        return f"durable-{self._consumer.created_ms}-{sequence}"

    def _hand_over(self) -> None:
        # One portion at a time: if one fails, none must go through behind it.
        if self._undecided or not self._arrived or self._stopping.is_set():
            return
        arrived, self._arrived = self._arrived, []
        for one in arrived:
            one.in_order = True
        turned_away = self._writer.submit(arrived)
        self._undecided = len(arrived) - len(turned_away)
        count_turned_away(self.refused, turned_away)
        for one in turned_away:
            self._settle(one)

    def answered(self, submission: Submission) -> None:
        """Takes up the outcome of a durable command."""
        self._undecided -= 1
        self._settle(submission)
        self._hand_over()

    def _settle(self, submission: Submission) -> None:
        outcome = submission.outcome
        assert outcome is not None
        if isinstance(outcome.refusal, Busy | Unavailable):
            # All commands behind it wait for it.
            self._arrived.clear()
            self._consumer.begin_anew()
        else:
            self._under_way.start(self._conclude(submission, outcome))

    async def _conclude(self, submission: Submission, outcome: Outcome) -> None:
        delivery: Delivery = submission.context
        refusal = outcome.refusal
        if isinstance(refusal, Internal) and delivery.delivered < MAXIMUM_FAILURES:
            await self._try_again(delivery.acknowledgement)
            return
        try:
            # Where the domain had no say, the message itself cannot be processed, now or later.
            if isinstance(refusal, Internal) or isinstance(submission.requests[0], Refusal):
                headers = {**delivery.headers, COMMAND_ID: delivery.command_id}
                await self._dead_letters.put(
                    delivery.name,
                    delivery.body,
                    headers,
                    refusal,
                    message_id=self._name_of(delivery.sequence),
                )
            await self._store_result(delivery, outcome.body, refusal)
        except (NatsError, TimeoutError) as error:
            # Not acknowledged: it is delivered again, and its id gets the same answer.
            logger.warning("a durable command's answer could not be stored yet: %s", error)
            await self._try_again(delivery.acknowledgement)

    async def _store_result(self, delivery: Delivery, body: bytes, refusal: Refusal | None) -> None:
        headers = None if refusal is None else codec.error_headers(refusal)
        token = str(delivery.sequence)
        self._unstored[token] = (delivery.acknowledgement, time.monotonic())
        await self._responder.publish(
            self._names.result(delivery.command_id),
            body,
            reply=f"{self._results_inbox}.{token}",
            headers=headers,
        )
        if delivery.reply is not None:
            await self._responder.publish(delivery.reply, body, headers=headers)

    async def _result_stored(self, message: Msg) -> None:
        answer = stored(message.headers, message.data)
        acknowledgement, _ = self._unstored.pop(message.subject.rpartition(".")[2], (None, 0.0))
        if acknowledgement is None:
            return
        if answer.error is not None:
            logger.warning("an answer was not stored: %s", answer.error.description)
            await self._try_again(acknowledgement)
            return
        await self._consumer.acknowledge(acknowledgement)

    async def _try_again(self, acknowledgement: str) -> None:
        """Has one command delivered again in a second, and others meanwhile."""
        await self._consumer.acknowledge(acknowledgement, b'-NAK {"delay": 1000000000}')


def _usable(command_id: str | None) -> str | None:
    """An id that a result can be addressed to; one that is too long is refused, and told under another."""
    if command_id is None or len(command_id) > codec.MAXIMUM_COMMAND_ID_CHARACTERS:
        return None
    return command_id

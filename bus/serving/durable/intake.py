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

One that was being decided when the service went down is decided alone then. If the service goes down with it
once more, the command is put aside (`bus.serving.durable.suspects`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from bus.contract import codec
from bus.contract.headers import COMMAND_ID, REPLY_TO
from bus.contract.senders import UserSubjects
from bus.contract.subjects import BATCH
from bus.measures import UNKNOWN, Tally
from bus.serving.admission import Admission
from bus.serving.dead_letters import DeadLetter, DeadLetters
from bus.serving.decoding import count_turned_away, findings_in_headers, refused_submission, submission_of
from bus.serving.durable.consumer import DurableConsumer
from bus.serving.durable.results import Results
from bus.serving.durable.suspects import Suspects
from bus.tasks import Tasks
from bus.transport.jetstream import JetStreamError
from bus.transport.stream_limits import StreamLimits
from bus.waiting import is_set_within
from bus.writing.submission import Outcome, Submission, refused
from bus.writing.writer import Writer
from domain.catalogue import VERBS
from domain.errors import Busy, Internal, Invalid, Refusal, Unavailable

# How often the streams are checked; nothing tells us when one is deleted.
LOOK_SECONDS = 1.0
# A command that fails here this often, for a reason that is not its own, is put aside.
MAXIMUM_FAILURES = 5
# So is one with which the service went down this often.
MAXIMUM_DOWNS = 2
# How many are read, one after the other, before the event loop has its turn and the writer its work.
PORTION = 512
# With so much that has arrived, no more is asked for.
MAXIMUM_ARRIVED = 1_000
MAXIMUM_ARRIVED_BYTES = 16 * 1024 * 1024

logger = logging.getLogger(__name__)


class Delivery(msgspec.Struct, frozen=True):
    """One delivered command, on its way to an answer. `stream` is when its stream was made.

    `reply` is as its sender knows it; `user` is the sender, where the broker tells.
    """

    name: str
    user: str | None
    stream: int
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
        self,
        relay: Client,
        responder: Client,
        writer: Writer,
        subjects: UserSubjects,
        dead_letters: DeadLetters,
        suspects: Suspects,
        limits: StreamLimits,
        admission: Admission,
    ) -> None:
        self._relay = relay
        self._responder = responder
        self._writer = writer
        self._names = subjects.names
        self._subjects = subjects
        self._admission = admission
        self._dead_letters = dead_letters
        self._suspects = suspects
        self._consumer = DurableConsumer(
            relay, subjects, limits.commands, take=self._take, has_room=self._has_room
        )
        self._results = Results(
            relay,
            responder,
            subjects,
            limits.results,
            on_stored=self._consumer.acknowledge,
            on_lost=self._try_again,
        )
        # Each with the time at which its stream was made.
        self._arrived: deque[tuple[int, Msg]] = deque()
        self._arrived_bytes = 0
        # How many commands the writer has, or are being put aside.
        self._undecided = 0
        self._under_way = Tasks()
        self._stopping = asyncio.Event()
        self.dropped = 0
        # Commands that never came to the writer, which counts the others.
        self.refused = Tally()

    async def prepare(self) -> None:
        """Streams and consumer are there when this returns."""
        await self._results.prepare()
        await self._consumer.prepare()
        self._suspects.forget_before(self._consumer.created_ms, self._consumer.first_sequence)
        if self._suspects.count:
            logger.warning(
                "the service went down while it decided durable commands: %d of them are decided one by one",
                self._suspects.count,
            )

    async def run(self) -> None:
        """Serves until `stop`."""
        await self._results.listen()
        await asyncio.gather(self._consumer.run(), self._look_after_streams())

    async def stop(self) -> None:
        """Asks for no more; what was taken and is not answered in time is delivered again later."""
        self._stopping.set()
        await self._consumer.stop()
        await self._under_way.finish()

    async def _look_after_streams(self) -> None:
        """Makes deleted streams anew, and has commands answered again whose answers were not stored."""
        while not await is_set_within(self._stopping, LOOK_SECONDS * 1000):
            if not self._relay.is_connected:
                continue
            try:
                is_another = await self._results.prepare()
                await self._dead_letters.prepare()
                await self._results.give_up(all_of_them=is_another)
            except (JetStreamError, NatsError) as error:
                logger.warning("the streams behind durable commands are not there: %s", error)
                await self._results.give_up(all_of_them=False)

    def _take(self, message: Msg) -> None:
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._arrived.append((self._consumer.created_ms, message))
        self._arrived_bytes += len(message.data)

    def _has_room(self) -> bool:
        return len(self._arrived) < MAXIMUM_ARRIVED and self._arrived_bytes < MAXIMUM_ARRIVED_BYTES

    def _hand_over(self) -> None:
        # One portion at a time: if one fails, none must go through behind it.
        if self._undecided or not self._arrived or self._stopping.is_set():
            return
        downs = self._downs(*self._arrived[0])
        try:
            portion = self._marked_portion(is_alone=downs > 0)
        except OSError as error:
            logger.warning("durable commands are not decided, since that cannot be noted before: %s", error)
            self._wait_for_room()
            return
        if downs >= MAXIMUM_DOWNS:
            self._undecided = 1
            self._under_way.start(self._put_aside(self._delivery(*portion[0]), downs))
            return
        submissions = [one for arrived in portion if (one := self._submission(*arrived)) is not None]
        turned_away = self._writer.submit(submissions)
        self._undecided = len(submissions) - len(turned_away)
        count_turned_away(self.refused, turned_away)
        for one in turned_away:
            self._settle(one)
        self._go_on()

    def _downs(self, stream: int, message: Msg) -> int:
        return self._suspects.downs(stream, message.metadata.sequence.stream)

    def _marked_portion(self, *, is_alone: bool) -> list[tuple[int, Msg]]:
        """The next ones to be decided together, whose number stands on disk when this returns."""
        portion = [self._arrived.popleft()]
        while (
            not is_alone and self._arrived and len(portion) < PORTION and not self._downs(*self._arrived[0])
        ):
            portion.append(self._arrived.popleft())
        self._arrived_bytes -= sum(len(message.data) for _, message in portion)
        stream = portion[0][0]
        sequences = [message.metadata.sequence.stream for made, message in portion if made == stream]
        self._suspects.mark(stream, sequences, synced=is_alone)
        return portion

    def _go_on(self) -> None:
        """Takes the next portion, if nothing of the last one is left."""
        if self._undecided:
            return
        self._consumer.ask()
        if self._arrived:
            asyncio.get_running_loop().call_soon(self._hand_over)
        else:
            self._suspects.clear()

    def _delivery(self, stream: int, message: Msg) -> Delivery:
        headers = message.headers or {}
        sequence = message.metadata.sequence.stream
        return Delivery(
            name=self._names.name_in(self._subjects.as_known(message.subject)),
            user=self._subjects.user_of(message.subject),
            stream=stream,
            command_id=_usable(headers.get(COMMAND_ID)) or _name_of(stream, sequence),
            reply=headers.get(REPLY_TO),
            acknowledgement=message.reply,
            sequence=sequence,
            delivered=message.metadata.num_delivered or 1,
            headers=headers,
            body=message.data,
        )

    def _submission(self, stream: int, message: Msg) -> Submission | None:
        """A message as a submission, if there is anything to decide about it; otherwise it is settled."""
        delivery = self._delivery(stream, message)
        if self._is_dropped(delivery):
            self._admission.dropped(message.subject, "unknown_inbox")
            self._suspects.decided(stream, delivery.sequence)
            return None
        if delivery.name == BATCH:
            refusal = Invalid("a batch is a request; send its commands one by one", path="$")
            submission = refused_submission(refusal, delivery)
        else:
            principal = self._admission.known(delivery.user)
            submission = submission_of(
                delivery.name,
                delivery.body,
                delivery.headers,
                delivery,
                principal=principal,
                fallback_id=_name_of(stream, delivery.sequence),
            )
            self._admission.refused(principal, delivery.name, submission)
        if submission.outcome is not None and submission.outcome.refusal is not None:
            name = delivery.name if delivery.name in VERBS else UNKNOWN
            self.refused.add(name, submission.outcome.refusal.code)
            self._settle(submission)
            return None
        submission.in_order = True
        return submission

    def _is_dropped(self, delivery: Delivery) -> bool:
        if delivery.reply is None or self._subjects.is_named_inbox(delivery.user, delivery.reply):
            return False
        self.dropped += 1
        self._under_way.start(self._consumer.acknowledge(delivery.acknowledgement, b"+TERM"))
        return True

    @property
    def unkept_letters(self) -> int:
        """How many messages were answered that are no command, and not kept, since there was no room."""
        return self._dead_letters.unkept

    def answered(self, submission: Submission) -> None:
        """Takes up the outcome of a durable command."""
        self._undecided -= 1
        self._settle(submission)
        self._go_on()

    def _settle(self, submission: Submission) -> None:
        outcome, delivery = submission.outcome, submission.context
        assert outcome is not None
        if isinstance(outcome.refusal, Busy | Unavailable):
            self._wait_for_room()
        else:
            # While it is marked, since a letter is looked through.
            letter = self._letter_of(submission, outcome)
            refusal = outcome.refusal
            if letter is None and refusal is submission.requests[0]:
                refusal.details["kept"] = False
                outcome = refused(refusal)
            self._suspects.decided(delivery.stream, delivery.sequence)
            self._under_way.start(self._conclude(delivery, outcome, letter))

    def _letter_of(self, submission: Submission, outcome: Outcome) -> DeadLetter | None:
        delivery, refusal = submission.context, outcome.refusal
        # Where the domain had no say, the message itself cannot be processed, now or later.
        if isinstance(refusal, Internal):
            is_kept = delivery.delivered >= MAXIMUM_FAILURES
        else:
            is_kept = isinstance(
                submission.requests[0], Refusal
            ) and self._dead_letters.has_room_for_unreadable(len(delivery.body))
        return self._letter(delivery, refusal) if is_kept and refusal is not None else None

    def _wait_for_room(self) -> None:
        """Gives up what has arrived: all commands behind one that cannot be decided now wait for it."""
        self._arrived.clear()
        self._arrived_bytes = 0
        self._consumer.begin_anew()

    async def _conclude(self, delivery: Delivery, outcome: Outcome, letter: DeadLetter | None) -> None:
        if isinstance(outcome.refusal, Internal) and letter is None:
            await self._try_again(delivery.acknowledgement)
            return
        try:
            if letter is not None:
                await self._dead_letters.put(letter)
            await self._store_result(delivery, outcome)
        except (NatsError, TimeoutError) as error:
            # Not acknowledged: it is delivered again, and its id gets the same answer.
            logger.warning("a durable command's answer could not be stored yet: %s", error)
            await self._try_again(delivery.acknowledgement)

    async def _put_aside(self, delivery: Delivery, downs: int) -> None:
        """Keeps a command among the dead letters with which the service went down again and again."""
        try:
            if self._is_dropped(delivery):
                return
            name = delivery.name if delivery.name in VERBS else UNKNOWN
            logger.error(
                "the service went down %d times with a durable command, which becomes a dead letter",
                downs,
                extra={"command": name, "command_id": delivery.command_id},
            )
            refusal = _took_it_down(downs)
            letter = self._letter(delivery, refusal, is_looked_through=downs == MAXIMUM_DOWNS)
            # From here on, it does nothing to us.
            self._suspects.clear()
            await self._conclude(delivery, refused(refusal), letter)
        finally:
            self._undecided = 0
            self._go_on()

    def _letter(self, delivery: Delivery, refusal: Refusal, *, is_looked_through: bool = True) -> DeadLetter:
        return self._dead_letters.letter(
            delivery.name,
            delivery.body,
            {**delivery.headers, COMMAND_ID: delivery.command_id},
            refusal,
            user=delivery.user,
            message_id=_name_of(delivery.stream, delivery.sequence),
            is_looked_through=is_looked_through,
        )

    async def _store_result(self, delivery: Delivery, outcome: Outcome) -> None:
        token, refusal = str(delivery.sequence), outcome.refusal
        await self._results.store(
            token, delivery.acknowledgement, delivery.user, delivery.command_id, outcome.body, refusal
        )
        if delivery.reply is not None:
            headers = None if refusal is None else codec.error_headers(refusal)
            user, reply = delivery.user, delivery.reply
            reply = reply if user is None else self._subjects.to(user, reply)
            await self._responder.publish(reply, outcome.body, headers=headers)

    async def _try_again(self, acknowledgement: str) -> None:
        """Has one command delivered again in a second, and others meanwhile."""
        await self._consumer.acknowledge(acknowledgement, b'-NAK {"delay": 1000000000}')


def _name_of(stream: int, sequence: int) -> str:
    """The id of a stored command to which its sender gave none."""
    return f"durable-{stream}-{sequence}"


def _took_it_down(downs: int) -> Internal:
    return Internal(
        f"the service went down {downs} times while it decided this command",
        hint="it is kept among the dead letters, from where it can be sent again once the cause is known",
        times=downs,
    )


def _usable(command_id: str | None) -> str | None:
    """An id that a result can be addressed to; any other is refused, which is told under another one."""
    if command_id is None or len(command_id) > codec.MAXIMUM_COMMAND_ID_CHARACTERS:
        return None
    # A subject is told to everybody who follows the results.
    return None if findings_in_headers({COMMAND_ID: command_id}) else command_id

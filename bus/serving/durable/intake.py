"""Durable commands: stored by a stream before the service reads them, answered by a message that is kept.

    stream COMMANDS ─ consumer ─▶ writer ─ commit ─▶ stream RESULTS ─ stored ─▶ acknowledge the command

A command is acknowledged only after its answer is stored. So it is delivered again if anything breaks in
between, and its command id makes the second delivery harmless. A command that cannot be processed at all
becomes a dead letter, and its sender gets the reason as a result, too.

Commands are decided in the order of the stream, even if the store cannot be written for a while, or service
and broker are killed. The writer has one portion at a time. If it cannot store a part of the portion, it
gives up the rest of it, too. Then everything that is not acknowledged is asked for again, from the first
command on. The next portion is read meanwhile, and is given up with it. While requests come in, portions are
small, with pauses between them (`bus.serving.durable.pace`).

Two kinds of commands are decided again behind later ones: a command that could not be decided because of a
defect of the service, and a refused command whose answer could not be stored. (An accepted command is only
answered again.)

A command that was being decided when the service went down is decided alone after the next start. If the
service goes down with it once more, the command is put aside (`bus.serving.durable.suspects`, `.poison`).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache

from nats.errors import Error as NatsError

from bus.contract import codec
from bus.contract.senders import UserSubjects
from bus.log.reader_pool import ReaderPool
from bus.measures import UNKNOWN, Tally
from bus.serving.admission import Admission
from bus.serving.dead_letters import DeadLetter, DeadLetters
from bus.serving.decoding import count_turned_away, findings_in_headers, refused_submission, submission_of
from bus.serving.durable.consumer import DurableConsumer
from bus.serving.durable.delivery import Arrived, Delivery
from bus.serving.durable.pace import Pace
from bus.serving.durable.poison import CANNOT_TELL, FIRST_PUT_ASIDE, MAXIMUM_DOWNS, is_poison, took_it_down
from bus.serving.durable.portions import Portions
from bus.serving.durable.results import Results
from bus.serving.durable.suspects import Suspects
from bus.transport.jetstream import JetStreamError
from bus.transport.stream_limits import StreamLimits
from bus.writing.submission import Outcome, Submission, refused
from bus.writing.writer import Writer
from domain.catalogue import VERBS
from domain.errors import Busy, Internal, Invalid, Refusal, Unavailable
from hyperpage_client.contract.headers import COMMAND_ID, REPLY_TO
from hyperpage_client.contract.subjects import BATCH
from hyperpage_client.tasks import Tasks
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.waiting import is_set_within

# How often the streams are checked; nothing tells us when one is deleted.
LOOK_SECONDS = 1.0
# A command that was delivered this often, and still fails by a defect of the service, becomes a dead letter.
MAXIMUM_FAILURES = 5
logger = logging.getLogger(__name__)


class DurableIntake:
    """Takes durable commands from their stream. Used from the event loop's thread only.

    `relay` is the connection that may consume the commands, `responder` the one that may store results.
    While `is_ours` is false, another service may take the commands, and this one takes none.
    """

    def __init__(
        self,
        relay: LeanClient,
        responder: LeanClient,
        writer: Writer,
        subjects: UserSubjects,
        dead_letters: DeadLetters,
        suspects: Suspects,
        limits: StreamLimits,
        admission: Admission,
        readers: ReaderPool,
        *,
        is_ours: Callable[[], bool] = lambda: True,
    ) -> None:
        self._relay = relay
        self._writer = writer
        self._names = subjects.names
        self._subjects = subjects
        # Cached, since most commands come on few subjects.
        self._sent_as = lru_cache(maxsize=1_024)(self._name_and_user)
        self._admission = admission
        self._dead_letters = dead_letters
        self._suspects = suspects
        self._readers = readers
        self._portions = Portions(suspects)
        self._consumer = DurableConsumer(
            relay,
            subjects,
            limits.commands,
            take=self._take,
            has_room=lambda: self._portions.has_room,
            is_ours=is_ours,
        )
        self._results = Results(
            relay,
            responder,
            subjects,
            limits.results,
            on_stored=self._consumer.acknowledge,
            on_lost=self._try_again,
        )
        # The portion that was read, and waits until the writer has decided the one before it.
        self._read: list[Submission] = []
        # The number of commands that the writer has, or that are being put aside.
        self._undecided = 0
        self._pace = Pace(lambda: writer.queue.requests)
        self._is_pausing = False
        self._under_way = Tasks()
        self._stopping = asyncio.Event()
        self.dropped = 0
        # Commands that were refused before they reached the writer, which counts the others.
        self.refused = Tally()

    async def prepare(self) -> None:
        """Returns when the streams and the consumer exist."""
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
        """Asks for no more commands. Commands that are not answered in time are delivered again later."""
        self._stopping.set()
        self._go_on()
        await self._consumer.stop()
        await self._under_way.finish()

    async def _look_after_streams(self) -> None:
        """Makes deleted streams again, and has commands delivered again whose answers were not stored."""
        while not await is_set_within(self._stopping, LOOK_SECONDS * 1000):
            if not self._relay.is_connected:
                continue
            try:
                is_another = await self._results.prepare()
                await self._dead_letters.prepare()
                self._results.give_up(all_of_them=is_another)
            except (JetStreamError, NatsError) as error:
                logger.warning("the streams behind durable commands are not there: %s", error)
                self._results.give_up(all_of_them=False)

    def _take(self, message: Arrived) -> None:
        if not self._portions:
            asyncio.get_running_loop().call_soon(self._go_on)
        self._portions.add(message)

    def _go_on(self) -> None:
        """Hands over the portion that was read, if the writer has none, and reads the next one."""
        if self._stopping.is_set():
            if not self._undecided:
                # Commands that were read but not handed over are delivered again, and are not suspects.
                self._suspects.clear()
            return
        # One portion at a time: if a command cannot be decided, no later one may be decided before it.
        if self._read and not self._undecided and not self._is_pausing:
            self._hand_over()
        if not self._read and self._portions.may_read(is_busy=self._undecided > 0):
            self._read_portion()
            asyncio.get_running_loop().call_soon(self._go_on)
        elif not (self._undecided or self._read or self._portions):
            self._suspects.clear()
        self._consumer.ask()

    def _hand_over(self) -> None:
        submissions, self._read = self._read, []
        self._portions.handed_over([one.context.message.place for one in submissions])
        turned_away = self._writer.submit(submissions)
        self._undecided = len(submissions) - len(turned_away)
        self._pace.begin(self._undecided)
        count_turned_away(self.refused, turned_away)
        self._settle(turned_away)

    def _read_portion(self) -> None:
        try:
            portion, downs = self._portions.next(is_busy=self._undecided > 0, at_most=self._pace.portion)
        except OSError as error:
            logger.warning("durable commands are not decided, since that cannot be noted before: %s", error)
            self._wait_for_room()
            return
        if downs >= MAXIMUM_DOWNS:
            self._undecided = 1
            self._under_way.start(self._put_aside_unless_answered(portion[0], downs))
        else:
            self._read = [one for message in portion if (one := self._submission(message)) is not None]

    def _delivery(self, message: Arrived) -> Delivery:
        name, user = self._sent_as(message.subject)
        return Delivery(
            name=name,
            user=user,
            command_id=_usable(message.headers.get(COMMAND_ID)) or message.id,
            reply=message.headers.get(REPLY_TO),
            message=message,
        )

    def _name_and_user(self, subject: str) -> tuple[str, str | None]:
        return self._names.name_in(self._subjects.as_known(subject)), self._subjects.user_of(subject)

    def _submission(self, message: Arrived) -> Submission | None:
        """A message as a submission; `None` if there is nothing to decide, and it is dropped or answered."""
        delivery = self._delivery(message)
        if self._is_dropped(delivery):
            self._admission.dropped(message.subject, "unknown_inbox")
            self._suspects.decided(message.stream, message.place)
            return None
        principal = self._admission.known(delivery.user)
        if delivery.name == BATCH:
            refusal = Invalid("a batch is a request; send its commands one by one", path="$")
            submission = refused_submission(refusal, delivery)
        else:
            submission = submission_of(
                delivery.name,
                message.body,
                message.headers,
                delivery,
                principal=principal,
                # Used where there is no header: a command whose header has an unusable id is refused.
                fallback_id=delivery.command_id,
                away=self._admission.away,
            )
        if submission.outcome is not None and submission.outcome.refusal is not None:
            self._admission.refused(principal, delivery.name, submission)
            name = delivery.name if delivery.name in VERBS else UNKNOWN
            self.refused.add(name, submission.outcome.refusal.code)
            self._settle([submission])
            return None
        submission.in_order = True
        return submission

    def _is_dropped(self, delivery: Delivery) -> bool:
        if delivery.reply is None or self._subjects.is_named_inbox(delivery.user, delivery.reply):
            return False
        self.dropped += 1
        self._consumer.acknowledge(delivery.message.acknowledgement, b"+TERM")
        return True

    @property
    def unkept_letters(self) -> int:
        """The number of answered messages that were not commands, and not kept, since there was no room."""
        return self._dead_letters.unkept

    def answered(self, submissions: Sequence[Submission]) -> None:
        """Takes the outcomes of durable commands from the writer."""
        self._undecided -= len(submissions)
        self._settle(submissions)
        if not self._undecided and (pause_seconds := self._pace.end()):
            self._is_pausing = True
            asyncio.get_running_loop().call_later(pause_seconds, self._end_pause)
        self._go_on()

    def _end_pause(self) -> None:
        self._is_pausing = False
        self._go_on()

    def _settle(self, submissions: Sequence[Submission]) -> None:
        results: list[tuple[Delivery, Outcome]] = []
        for submission in submissions:
            outcome, delivery = submission.outcome, submission.context
            assert outcome is not None
            refusal = outcome.refusal
            if isinstance(refusal, Busy | Unavailable):
                self._wait_for_room()
                continue
            # Made while the command is still marked: looking through a letter may take the service down, too.
            letter = None if refusal is None else self._letter_of(submission, refusal)
            if letter is None and refusal is not None and refusal is submission.requests[0]:
                refusal.details["kept"] = False
                outcome = refused(refusal)
            self._suspects.decided(delivery.message.stream, delivery.message.place)
            if letter is not None:
                self._under_way.start(self._keep(letter, delivery, outcome))
            elif isinstance(refusal, Internal):
                self._try_again(delivery.message.acknowledgement)
            else:
                results.append((delivery, outcome))
        if results:
            self._under_way.start(self._store(results))

    def _letter_of(self, submission: Submission, refusal: Refusal) -> DeadLetter | None:
        delivery = submission.context
        # A message that was refused before the domain decided it can never be processed.
        if isinstance(refusal, Internal):
            is_kept = delivery.message.times >= MAXIMUM_FAILURES
        else:
            is_kept = isinstance(
                submission.requests[0], Refusal
            ) and self._dead_letters.has_room_for_unreadable(len(delivery.message.body))
        return self._letter(delivery, refusal) if is_kept else None

    def _wait_for_room(self) -> None:
        """Gives up what has arrived: a command that cannot be decided now holds up all commands behind it."""
        self._portions.clear()
        self._read = []
        self._consumer.begin_anew()

    async def _keep(self, letter: DeadLetter, delivery: Delivery, outcome: Outcome) -> None:
        try:
            await self._dead_letters.put(letter)
        except (NatsError, TimeoutError) as error:
            self._not_stored(delivery, error)
        else:
            await self._store([(delivery, outcome)])

    async def _store(self, results: Sequence[tuple[Delivery, Outcome]]) -> None:
        try:
            await self._results.store(results)
        except NatsError as error:
            if len(results) == 1:
                self._not_stored(results[0][0], error)
                return
            # None was sent, perhaps because of only one of them.
            for one in results:
                await self._store([one])

    def _not_stored(self, delivery: Delivery, error: Exception) -> None:
        # Not acknowledged: it is delivered again, and its id gets the same answer.
        logger.warning("a durable command's answer could not be stored yet: %s", error)
        self._try_again(delivery.message.acknowledgement)

    async def _put_aside_unless_answered(self, message: Arrived, downs: int) -> None:
        delivery = self._delivery(message)
        try:
            if await is_poison(self._readers, delivery.command_id, downs):
                await self._put_aside(delivery, downs)
            elif (submission := self._submission(message)) is not None:
                self._read = [submission]
        except CANNOT_TELL as error:
            logger.warning("a durable command waits, since the store cannot be read: %s", error)
            self._wait_for_room()
        finally:
            self._undecided = 0
            self._go_on()

    async def _put_aside(self, delivery: Delivery, downs: int) -> None:
        """Keeps a command with which the service went down repeatedly as a dead letter."""
        if self._is_dropped(delivery):
            return
        name = delivery.name if delivery.name in VERBS else UNKNOWN
        logger.error(
            "the service went down %d times with a durable command, which becomes a dead letter",
            downs,
            extra={"command": name, "command_id": delivery.command_id},
        )
        refusal = took_it_down(downs)
        letter = self._letter(delivery, refusal, is_looked_through=downs in FIRST_PUT_ASIDE)
        # From here on, the command cannot take the service down.
        self._suspects.clear()
        await self._keep(letter, delivery, refused(refusal))

    def _letter(self, delivery: Delivery, refusal: Refusal, *, is_looked_through: bool = True) -> DeadLetter:
        return self._dead_letters.letter(
            delivery.name,
            delivery.message.body,
            {**delivery.message.headers, COMMAND_ID: delivery.command_id},
            refusal,
            user=delivery.user,
            message_id=delivery.message.id,
            is_looked_through=is_looked_through,
        )

    def _try_again(self, acknowledgement: str) -> None:
        """Has one command delivered again in a second; others are delivered meanwhile."""
        self._consumer.acknowledge(acknowledgement, b'-NAK {"delay": 1000000000}')


def _usable(command_id: str | None) -> str | None:
    """The command id, if a result can be addressed to it.

    `None` if not: the command is refused then, and the refusal is stored under an id that is made for it.
    """
    if command_id is None or len(command_id) > codec.MAXIMUM_COMMAND_ID_CHARACTERS:
        return None
    # The id becomes part of a subject, which everyone who follows the results can read.
    return None if findings_in_headers({COMMAND_ID: command_id}) else command_id

"""Requests in, answers out: commands go to the writer, and their outcomes back to their senders.

    message ─▶ decode ─┐                                             ┌─▶ answer
    message ─▶ decode ─┼─▶ one hand-over per turn of the loop ─▶ writer ─▶ one hand-over per group ─▶ answer
    message ─▶ decode ─┘                                             └─▶ answer

A message costs one decoding and one answer; locks and switches between threads are shared by all that
arrived together.
"""

import asyncio
import logging
import time
from collections.abc import Mapping

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
from bus.tasks import Tasks
from bus.transport.connection import LeanClient, stop_receiving
from bus.transport.sending import RawMessage
from bus.writing.submission import Outcome, Submission
from bus.writing.writer import Writer

logger = logging.getLogger(__name__)


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The receiver of a submission's outcome: a reply subject, or a future in this process."""

    reply: str
    endpoint: Endpoint
    arrived_ns: int
    waiting: asyncio.Future[Outcome] | None = None


class Intake:
    """The command subjects of a service. Used from the event loop's thread only.

    `dropped` counts requests that were not carried out, since their reply subject is nobody's inbox.
    """

    def __init__(
        self,
        connection: LeanClient,
        writer: Writer,
        subjects: UserSubjects,
        endpoints: Mapping[str, Endpoint],
        admission: Admission,
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._subjects = subjects
        self._endpoints = endpoints
        self._admission = admission
        self._principal_of = admission.principal_of
        self._unknown = Endpoint(name="unknown", subject="")
        self._subscriptions: list[Subscription] = []
        self._arrived: list[Submission] = []
        self._answering = Tasks()
        self._loop = asyncio.get_running_loop()
        self.dropped = 0
        # Commands that never came to the writer, which counts the others.
        self.refused = Tally()

    async def start(self) -> None:
        """Serves from now on."""
        # One subscription for all verbs, so that the commands of one client are decided in the order in which
        # it sends them. All go to the writer; if it refuses more, the sender is told.
        for subject in self._subjects.arrivals(self._subjects.names.command(">")):
            self._subscriptions.append(
                await self._connection.subscribe_direct(subject, queue=QUEUE_GROUP, handler=self._receive)
            )

    async def stop(self) -> None:
        """Takes nothing more; what was taken is still answered (see `drain`)."""
        # There are none if the service could not start.
        for subscription in self._subscriptions:
            await stop_receiving(subscription)
        self._hand_over()

    async def drain(self) -> None:
        """Returns when every answer is on its way."""
        await self._answering.finish()

    def _receive(self, subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes) -> None:
        sender = self._subjects.sender(subject, reply)
        principal = None if sender is None else self._principal_of(sender.user)
        if sender is None or principal is None:
            # Answering would publish, with our rights, where the sender may not have any.
            self.dropped += 1
            self._admission.dropped(subject, "unknown_inbox" if sender is None else "unknown_user")
            return
        endpoint = self._endpoints.get(sender.name, self._unknown)
        caller = Caller(sender.reply, endpoint, time.perf_counter_ns())
        submission = submission_of(sender.name, body, headers, caller, principal=principal)
        self._take(sender.name, submission, principal)

    async def carry_out(
        self, name: str, body: bytes, headers: Mapping[str, str], principal: Principal = UNKNOWN_PRINCIPAL
    ) -> Outcome:
        """The outcome of a command that came another way than over the broker; the same limits hold.

        `principal` is who really asks for it.
        """
        endpoint = self._endpoints.get(name, self._unknown)
        waiting: asyncio.Future[Outcome] = self._loop.create_future()
        caller = Caller("", endpoint, time.perf_counter_ns(), waiting)
        submission = submission_of(name, body, headers, caller, principal=principal)
        self._take(name, submission, principal, "http")
        return await waiting

    def _take(self, name: str, submission: Submission, principal: Principal, way: Way = "nats") -> None:
        if submission.batch or submission.outcome is not None:
            self._admission.refused(principal, name, submission, way)
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
        answers: list[RawMessage] = []
        for one in submissions:
            caller, outcome = one.context, one.outcome
            if not isinstance(caller, Caller) or outcome is None:
                continue
            refusal = outcome.refusal
            caller.endpoint.count(now - caller.arrived_ns, refusal)
            if caller.waiting is not None:
                # The caller may have stopped waiting.
                if not caller.waiting.done():
                    caller.waiting.set_result(outcome)
                continue
            headers = None if refusal is None else codec.error_headers(refusal)
            answers.append((caller.reply, "", outcome.body, headers))
        try:
            await self._connection.publish_many(answers)
        except NatsError:
            # None was sent, perhaps because of a single one.
            for answer in answers:
                await self._answer_alone(answer)

    async def _answer_alone(self, answer: RawMessage) -> None:
        try:
            await self._connection.publish_many((answer,))
        except NatsError as error:
            # It is stored. A sender that gave a command id asks again, and gets this very answer.
            logger.warning("an answer could not be sent: %s", error)

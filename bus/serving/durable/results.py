"""The answers to durable commands: each is kept under its command's id for some hours, if there is room."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from bus.broker.users import RESPONDER, private_inbox
from bus.contract import codec
from bus.contract.senders import UserSubjects
from bus.serving.durable.delivery import Delivery
from bus.transport.ensured_streams import ensure_stream
from bus.transport.jetstream import JetStreamApi
from bus.transport.stream_limits import Limits
from bus.writing.submission import Outcome
from hyperpage_client.identifiers import new_id
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.jetstream_answers import stored
from hyperpage_client.transport.sending import RawMessage

# An answer counts as lost if the broker has not confirmed after this time that it is stored.
STORED_WITHIN_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Results:
    """The stream of results. Used from the event loop's thread only.

    `relay` is the connection that may make the stream, `responder` the one that may store results.
    `on_stored` or `on_lost` is called for each answer, with the subject that acknowledges its command.
    """

    def __init__(
        self,
        relay: LeanClient,
        responder: LeanClient,
        subjects: UserSubjects,
        limits: Limits,
        *,
        on_stored: Callable[[str], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._api = JetStreamApi(relay)
        self._responder = responder
        self._subjects = subjects
        self._names = subjects.names
        self._limits = limits
        self._on_stored = on_stored
        self._on_lost = on_lost
        self._inbox = f"{private_inbox(RESPONDER)}.{new_id()}"
        self._created = ""
        # Answers that were sent and are not confirmed yet, by a token: the subject that acknowledges the
        # command, and when the answer was sent (by the monotonic clock).
        self._unstored: dict[str, tuple[str, float]] = {}
        self._preparing = asyncio.Lock()

    async def prepare(self) -> bool:
        """Returns when the stream exists; true if it is another one than before."""
        async with self._preparing:
            report = await ensure_stream(
                self._api,
                {
                    "name": self._names.results,
                    "subjects": list(self._names.result_filters),
                    "storage": "file",
                    "max_msgs_per_subject": 1,
                    "allow_direct": True,
                },
                # A full stream drops its oldest answers. A sender that misses one asks again by its command
                # id.
                {**self._limits.config, "discard": "old"},
                is_adjusted=not self._created,
            )
            is_another = report.created != self._created
            self._created = report.created
            return is_another

    async def listen(self) -> None:
        """Receives the broker's confirmations from now on."""
        await self._responder.subscribe_direct(f"{self._inbox}.*", handler=self._stored)

    async def store(self, results: Sequence[tuple[Delivery, Outcome]]) -> None:
        """Sends these answers to the stream, and to the reply subjects of their commands; all or none.

        Raises:
            nats.errors.Error: they cannot be sent now, or one of them never can.
        """
        now = time.monotonic()
        messages: list[RawMessage] = []
        for delivery, outcome in results:
            refusal, user = outcome.refusal, delivery.user
            headers = None if refusal is None else codec.error_headers(refusal)
            subject = self._names.result(delivery.command_id)
            if user is not None:
                subject = self._subjects.sent(user, subject)
            token = str(delivery.message.sequence)
            self._unstored[token] = (delivery.message.acknowledgement, now)
            messages.append((subject, f"{self._inbox}.{token}", outcome.body, headers))
            if delivery.reply is not None:
                reply = delivery.reply if user is None else self._subjects.to(user, delivery.reply)
                messages.append((reply, "", outcome.body, headers))
        await self._responder.publish_many(messages)

    def give_up(self, *, all_of_them: bool) -> None:
        """Reports answers as lost that were not confirmed in time; `all_of_them`: that are not confirmed."""
        before = time.monotonic() - (0 if all_of_them else STORED_WITHIN_SECONDS)
        for token in [token for token, (_, sent_at) in self._unstored.items() if sent_at < before]:
            self._on_lost(self._unstored.pop(token)[0])

    def _stored(self, subject: str, _reply: str, headers: Mapping[str, str] | None, body: bytes) -> None:
        answer = stored(headers, body)
        acknowledgement, _ = self._unstored.pop(subject.rpartition(".")[2], (None, 0.0))
        if acknowledgement is None:
            return
        if answer.error is None:
            self._on_stored(acknowledgement)
        else:
            logger.warning("an answer was not stored: %s", answer.error.description)
            self._on_lost(acknowledgement)

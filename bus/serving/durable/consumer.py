"""The stream of durable commands, handed over in its order.

    pull ──▶ deliveries ──▶ take
     ▲           │ the stream or the consumer is gone, the broker was away, or `begin_anew`
     └───────────┴─ a new consumer: all that is not acknowledged, from the first on

Messages come again by a new consumer, never by a negative acknowledgement: that would let later ones pass by.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig

from bus.broker.users import RELAY, private_inbox
from bus.contract.senders import UserSubjects
from bus.serving.durable.delivery import Arrived
from bus.transport.ensured_streams import ensure_stream
from bus.transport.jetstream import JetStreamApi, JetStreamError
from bus.transport.stream_limits import Limits
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.identifiers import new_id
from hyperpage_client.tasks import Tasks
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.pulls import Pulls, delivery_in
from hyperpage_client.transport.sending import RawMessage

# Two pulls are outstanding, so that the broker never waits for the next one.
PULLS = 2
PULL_MESSAGES = 500
PULL_BYTES = 8 * 1024 * 1024
PULL_EXPIRES_SECONDS = 2.0
# A pull that the broker forgot (it was restarted, say) is noticed this much later.
PULL_GRACE_SECONDS = 1.0
ACK_WAIT_SECONDS = 30.0
# The largest message on the bus, as the contract says; an outside broker may take larger ones.
MAXIMUM_MESSAGE_BYTES = 1024 * 1024
# The pause before all comes again, as while the store cannot be written.
PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class DurableConsumer:
    """Asks for durable commands and hands each delivery to `take`. Used from the event loop's thread only.

    It asks while there `has_room`; when there is again, `ask` tells it so. It asks for nothing while it does
    not hold that `is_ours`: another service has a consumer then, in the place of this one's.

    `relay` is the connection that may consume the commands.
    """

    def __init__(
        self,
        relay: LeanClient,
        subjects: UserSubjects,
        limits: Limits,
        *,
        take: Callable[[Arrived], None],
        has_room: Callable[[], bool],
        is_ours: Callable[[], bool],
    ) -> None:
        self._relay = relay
        self._limits = limits
        self._api = JetStreamApi(relay)
        self._subjects = subjects
        self._names = subjects.names
        self._take = take
        self._has_room = has_room
        self._is_ours = is_ours
        self._jetstream = relay.jetstream(timeout=5)
        self._consumer = ""
        self._choosing = asyncio.Lock()
        self._inbox = f"{private_inbox(RELAY)}.{new_id()}"
        self._pulls = Pulls(
            self._inbox,
            messages=PULL_MESSAGES,
            expires_seconds=PULL_EXPIRES_SECONDS,
            grace_seconds=PULL_GRACE_SECONDS,
            maximum_bytes=PULL_BYTES,
        )
        self._asking = Tasks()
        # When all is to come again, by the monotonic clock; deliveries before that are passed over.
        self._anew_at: float | None = None
        self._stopping = False
        # When the stream was made, in milliseconds since the epoch. A new one counts from 1 again, and this
        # tells its commands from the old one's.
        self.created_ms = 0
        # The first one that the stream had when it was looked at last.
        self.first_sequence = 0

    async def prepare(self, *, afresh: bool = True) -> None:
        """Stream and consumer are there when this returns.

        `afresh`, the consumer is a new one, and all that is not acknowledged comes again.
        """
        report = await ensure_stream(
            self._api,
            {
                "name": self._names.commands,
                "subjects": list(self._subjects.both(self._names.durable_command(">"))),
                "storage": "file",
                "retention": "workqueue",
            },
            # Nothing that was taken in makes room for what comes: the sender is told that there is none.
            {
                **self._limits.config,
                "discard": "new",
                "max_msg_size": MAXIMUM_MESSAGE_BYTES,
                **_without_message_ids(self._names),
            },
            is_adjusted=not self.created_ms,
        )
        self.created_ms = int(datetime.fromisoformat(report.created).timestamp() * 1000)
        self.first_sequence = report.state.first_seq
        async with self._choosing:
            await self._choose_consumer(afresh=afresh)

    async def run(self) -> None:
        """Asks until `stop`."""
        await self._relay.subscribe_direct(f"{self._inbox}.*", handler=self._receive)
        reconnects = self._relay.stats["reconnects"]
        while not self._stopping:
            seen = self._relay.stats["reconnects"]
            if seen != reconnects:
                self.begin_anew(after_seconds=0)
                reconnects = seen
            try:
                await self._keep_asking()
            except (NatsError, JetStreamError, TimeoutError) as error:
                logger.warning("durable commands cannot be asked for: %s", error)
            await asyncio.sleep(PULL_EXPIRES_SECONDS / 4)

    async def stop(self) -> None:
        """Asks for no more."""
        self._stopping = True
        await self._asking.finish()

    def ask(self) -> None:
        """Asks for more, if there is room and too little was asked for."""
        if len(self._pulls) < PULLS and not self._stopping and self._anew_at is None:
            self._asking.start(self._ask())

    def begin_anew(self, *, after_seconds: float = PAUSE_SECONDS) -> None:
        """Has all that is not acknowledged delivered again, in order; until then, `take` gets nothing."""
        if self._anew_at is None:
            self._anew_at = time.monotonic() + after_seconds

    def acknowledge(self, subject: str, how: bytes = b"+ACK") -> None:
        """Tells the broker what became of a delivery, as far as it can be told now."""
        told = (subject, "", how, None)
        try:
            if not self._relay.publish_soon(told):
                self._asking.start(self._tell(told))
        except NatsError as error:
            _log_untold(error)

    async def _tell(self, told: RawMessage) -> None:
        try:
            await self._relay.publish_many((told,))
        except NatsError as error:
            _log_untold(error)

    async def _choose_consumer(self, *, afresh: bool) -> None:
        consumers = await self._jetstream.consumers_info(self._names.commands)
        if afresh:
            # Commands that were on their way when the service or the broker was killed would come again only
            # after ACK_WAIT_SECONDS, behind later ones. A new consumer gets them at once, and in order.
            while consumers:
                await self._jetstream.delete_consumer(self._names.commands, consumers.pop().name)
        if consumers:
            self._consumer = consumers[0].name
            return
        # Must not be guessed: anybody who knows the name could have commands delivered to nobody.
        self._consumer = f"service-{new_id()}"
        await self._jetstream.add_consumer(
            self._names.commands,
            ConsumerConfig(
                durable_name=self._consumer,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_SECONDS,
                max_ack_pending=5_000,
                max_deliver=-1,
            ),
        )

    async def _keep_asking(self) -> None:
        now = time.monotonic()
        if not self._is_ours():
            return
        if self._anew_at is not None:
            if now < self._anew_at:
                return
            await self.prepare()
            self._pulls.clear()
            self._anew_at = None
        self._pulls.drop_lost(now)
        await self._ask()

    async def _ask(self) -> None:
        while len(self._pulls) < PULLS and not self._stopping and self._is_ours() and self._has_room():
            await self._pull()

    async def _pull(self) -> None:
        subject, body, reply = self._pulls.begin(self._names.commands, self._consumer, time.monotonic())
        await self._relay.publish(subject, body, reply=reply)

    def _receive(self, subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes) -> None:
        if self._anew_at is not None:
            return
        headers = headers or {}
        # A delivered message has its own subject, which does not name the pull that it answers.
        if not reply:
            self._pulls.end(subject)
            self._asking.start(self._pull_ended(headers.get("Status", "")))
            return
        delivery = delivery_in(reply)
        if delivery.consumer == self._consumer:
            if self._pulls.count_one():
                self._asking.start(self._ask())
            number, stored_ns = delivery.sequence, delivery.stored_ns
            self._take(
                Arrived(self.created_ms, number, stored_ns, delivery.times, subject, reply, headers, body)
            )

    async def _pull_ended(self, status: str) -> None:
        if not self._is_ours():
            # It may be gone because another one's is there. If that is not so, it is seen when it is ours.
            self.begin_anew()
        elif status in ("404", "503"):
            # The stream or the consumer is gone.
            try:
                await self.prepare(afresh=False)
            except (NatsError, JetStreamError, TimeoutError) as error:
                logger.warning("the stream of durable commands cannot be made: %s", error)
        else:
            await self._ask()


def _log_untold(error: Exception) -> None:
    logger.warning("a durable command could not be acknowledged yet: %s", error)


def _without_message_ids(names: BusNames) -> dict[str, Any]:
    """What has nats-server 2.14 take a message whatever its `Nats-Msg-Id`; 2.12 looks at it still.

    An id is one for all who send: a command whose id somebody else had sent just before would be lost, and
    its sender told that it is stored. A command's own id does what message ids are for, for ever. They count
    nowhere in a stream that takes in another; of this one, no subject is asked for that a result can have.
    """
    nothing = names.result_filter.replace(">", "nothing.at.all")
    return {"duplicate_window": 0, "sources": [{"name": names.results, "filter_subject": nothing}]}

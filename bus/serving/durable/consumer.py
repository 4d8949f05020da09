"""The stream of durable commands, handed over in its order.

    pull ──▶ deliveries ──▶ take
     ▲           │ the stream or the consumer is gone, the broker was away, or `begin_anew`
     └───────────┴─ a new consumer: all that is not acknowledged, from the first on

Messages are delivered again through a new consumer, so that they stay in order. A negative acknowledgement
would let later messages overtake them.
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
# A pull that the broker forgot (by a restart, for instance) counts as lost this long after it has expired.
PULL_GRACE_SECONDS = 1.0
ACK_WAIT_SECONDS = 30.0
# The largest message on the bus, as the contract says; an outside broker may accept larger ones.
MAXIMUM_MESSAGE_BYTES = 1024 * 1024
# The pause before everything is delivered again, for instance while the store cannot be written.
PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class DurableConsumer:
    """Asks for durable commands and hands each delivery to `take`. Used from the event loop's thread only.

    It asks while `has_room` is true; `ask` is to be called when there is room again. It asks for nothing
    while `is_ours` is false: another service may have replaced this one's consumer by its own then.

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
        # When everything is to be delivered again, by the monotonic clock; deliveries before that are
        # ignored.
        self._anew_at: float | None = None
        self._stopping = False
        # When the stream was made, in milliseconds since the epoch. A new stream counts from 1 again, and
        # this time tells its commands from those of the old stream.
        self.created_ms = 0
        # The first sequence that the stream had when it was looked at last.
        self.first_sequence = 0

    async def prepare(self, *, afresh: bool = True) -> None:
        """Returns when stream and consumer exist.

        With `afresh`, the consumer is a new one, and all that is not acknowledged is delivered again.
        """
        report = await ensure_stream(
            self._api,
            {
                "name": self._names.commands,
                "subjects": list(self._subjects.both(self._names.durable_command(">"))),
                "storage": "file",
                "retention": "workqueue",
            },
            # A full stream refuses new commands, and their senders are told. It never drops stored ones.
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
        """Asks for more commands, if there is room and fewer than `PULLS` pulls are outstanding."""
        if len(self._pulls) < PULLS and not self._stopping and self._anew_at is None:
            self._asking.start(self._ask())

    def begin_anew(self, *, after_seconds: float = PAUSE_SECONDS) -> None:
        """Has all that is not acknowledged delivered again, in order; until then, `take` gets nothing."""
        if self._anew_at is None:
            self._anew_at = time.monotonic() + after_seconds

    def acknowledge(self, subject: str, how: bytes = b"+ACK") -> None:
        """Sends the acknowledgement `how` of a delivery to the broker; a failure is only logged."""
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
            # Commands that were being delivered when the service or the broker was killed would come again
            # only after ACK_WAIT_SECONDS, behind later ones. A new consumer gets them at once, and in order.
            while consumers:
                await self._jetstream.delete_consumer(self._names.commands, consumers.pop().name)
        if consumers:
            self._consumer = consumers[0].name
            return
        # The name must not be guessable: a client that knows it could pull commands away from the service.
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
            # Another service's consumer may have replaced this one. `begin_anew` takes effect once the
            # commands are this service's again.
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
    """Stream settings by which nats-server 2.14 ignores `Nats-Msg-Id`; 2.12 still looks at it.

    All senders share one space of message ids: a command whose id another user had just sent would be lost,
    and its sender told that it is stored. A command's own id prevents duplicates instead, without a time
    limit. nats-server ignores message ids in a stream that has a source. So this one has a source: the stream
    of results, filtered by a subject that no result can have.
    """
    nothing = names.result_filter.replace(">", "nothing.at.all")
    return {"duplicate_window": 0, "sources": [{"name": names.results, "filter_subject": nothing}]}

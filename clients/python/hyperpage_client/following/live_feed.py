"""Live events, pulled from the stream of events through a consumer that lives as long as it is pulled from.

A feed is fast and promises little: whenever something is wrong it raises `FeedLostError`, and the
subscription reads the log and opens another feed.

nats-py's ordered consumer starts anew by itself, after a time of its own, and does not tell what it skipped;
its buffer drops messages once it is full. A feed pulls no more messages than it has room for.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self

import msgspec
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from hyperpage_client.asking.connection import ClientConnection
from hyperpage_client.following.change_events import ChangeEvent, decode_event
from hyperpage_client.following.stream_report import FeedLostError, ask_jetstream, report_on, sequence_behind
from hyperpage_client.identifiers import new_id
from hyperpage_client.transport.pulls import Pulls, delivery_in
from hyperpage_client.waiting import is_set_within

# The limits of one pull. The messages of at most one and a half pulls are on their way or waiting here, and
# as many again are being handed out.
PULL_MESSAGES = 500
PULL_BYTES = 4 * 1024 * 1024
PULL_SECONDS = 5.0
# The broker ends a pull on time; a pull that it forgot is noticed this much later.
PULL_GRACE_SECONDS = 2.0
# What the broker says at the end of a pull if nothing is wrong, beside status 408 (its time is up).
ENDS_OF_PULLS = ("Batch Completed", "Message Size Exceeds MaxBytes")
# How long a subscriber may be busy with its events before the broker drops its consumer. Then the next pull
# fails, which costs a new consumer, but no event.
INACTIVE_SECONDS = 60.0


class LiveFeed:
    """The events of one stream from a sequence on; used by one task.

    `behind` is the position behind which the feed begins: up to there, the log has to be read. None: that
    position is not known, and the log has to be read to its end.
    """

    def __init__(
        self, connection: ClientConnection, stream: str, *, is_filtered: bool, created: str, start: int
    ) -> None:
        self.behind: int | None = None
        self._connection = connection
        self._stream = stream
        self._is_filtered = is_filtered
        self._created = created
        self._losses = connection.losses
        self._consumer = new_id().replace("-", "")
        self._inbox = connection.nats.new_inbox()
        self._subscription: Subscription | None = None
        # The reply subject and the body of each message.
        self._arrived: deque[tuple[str, bytes]] = deque()
        self._last_sequence = start - 1
        # Messages arrived, or a pull ended.
        self._changed = asyncio.Event()
        self._pulls = Pulls(
            self._inbox,
            messages=PULL_MESSAGES,
            maximum_bytes=PULL_BYTES,
            expires_seconds=PULL_SECONDS,
            grace_seconds=PULL_GRACE_SECONDS,
        )
        self._delivered = 0
        self._vouched_sequence = start - 1
        self._failure: str | None = None

    @classmethod
    async def open(
        cls,
        connection: ClientConnection,
        stream: str,
        subjects: Sequence[str],
        *,
        store_id: str | None,
        timeline: int,
        position: int,
    ) -> Self:
        """A feed of the events behind a position, as far as the stream still has them; else of new ones.

        `subjects` filter the events; if it is empty, all of them come.

        Raises:
            FeedLostError: there is no such stream, or no broker.
        """
        report = await report_on(connection, stream)
        start = sequence_behind(report, store_id, timeline, position)
        begins_behind: int | None = None
        if start is None or report.state.num_deleted:
            start = report.state.last_seq + 1
        else:
            # The log has the events that the stream has lost.
            missing = max(0, report.state.first_seq - start)
            start, begins_behind = start + missing, position + missing
        feed = cls(connection, stream, is_filtered=bool(subjects), created=report.created, start=start)
        feed.behind = begins_behind
        try:
            await feed._start(subjects, start)
        except BaseException:
            await feed.close()
            raise
        return feed

    async def take(self) -> list[ChangeEvent]:
        """The events that have come, in order. Waits up to 5 s for the first; empty if none came.

        Raises:
            FeedLostError: events may be missing behind those that were taken before.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + PULL_SECONDS
        # Pulled ahead of need: the broker sends the next events while the caller handles these.
        await self._pull()
        while not self._arrived:
            if not await is_set_within(self._changed, (until - clock()) * 1000):
                return []
            self._changed.clear()
            await self._pull()
        events = [self._event(*self._arrived.popleft()) for _ in range(len(self._arrived))]
        if self._is_filtered:
            await self._vouch(self._last_sequence)
        return events

    async def close(self) -> None:
        """Ends the feed, and tells the broker if it is there."""
        self._connection.listeners.discard(self._changed.set)
        if self._subscription is None or self._connection.nats.is_closed:
            return
        # Otherwise the broker drops the unused consumer by itself, later.
        with suppress(NatsError):
            await self._subscription.unsubscribe()
            if self._connection.nats.is_connected:
                await self._connection.nats.publish(
                    f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._consumer}", reply=f"{self._inbox}.end"
                )

    async def _start(self, subjects: Sequence[str], start: int) -> None:
        self._connection.listeners.add(self._changed.set)
        self._subscription = await self._connection.listen(f"{self._inbox}.*", self._receive)
        configuration = {
            "name": self._consumer,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start,
            "ack_policy": "none",
            "max_deliver": 1,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(INACTIVE_SECONDS * 1e9),
            "filter_subjects": list(subjects),
        }
        request = {"stream_name": self._stream, "config": configuration, "action": "create"}
        await ask_jetstream(self._connection, f"CONSUMER.CREATE.{self._stream}.{self._consumer}", request)

    async def _pull(self) -> None:
        """Makes sure that enough is being pulled, and no more than there is room for."""
        if self._connection.losses != self._losses:
            self._failure = "the connection was lost"
        if self._failure is not None and not self._arrived:
            raise FeedLostError(self._failure)
        now = asyncio.get_running_loop().time()
        if self._pulls.drop_lost(now):
            raise FeedLostError("the broker did not end a pull")
        waiting = self._pulls.messages_to_come + len(self._arrived)
        if self._failure is not None or waiting > PULL_MESSAGES // 2:
            return
        subject, body, reply = self._pulls.begin(self._stream, self._consumer, now)
        try:
            await self._connection.nats.publish(subject, body, reply=reply)
        except NatsError as error:
            raise FeedLostError(f"nothing can be pulled: {error}") from error

    def _receive(self, subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes) -> None:
        if reply:
            self._arrived.append((reply, body))
            self._pulls.count_one()
        else:
            self._pulls.end(subject)
            said = headers or {}
            status, description = said.get("Status"), said.get("Description", "")
            if status != "408" and not description.startswith(ENDS_OF_PULLS):
                self._failure = f"the broker ended a pull: {status} {description}"
        self._changed.set()

    def _event(self, reply: str, body: bytes) -> ChangeEvent:
        try:
            delivered = delivery_in(reply)
            event = decode_event(body)
        except (ValueError, msgspec.MsgspecError) as error:
            raise FeedLostError(f"the stream holds what is no event: {error}") from error
        self._last_sequence = delivered.sequence
        self._delivered += 1
        if delivered.number != self._delivered:
            raise FeedLostError("a delivery was lost")
        return event

    async def _vouch(self, sequence: int) -> None:
        """Makes sure that the broker skipped nothing but what the filter leaves out, up to a sequence.

        The broker silently skips messages that have left the stream before they were delivered. A stream
        loses its oldest messages first. So if, after the delivery, it still has the message that follows the
        last one vouched for, it had every message in between.
        """
        report = await report_on(self._connection, self._stream)
        if (
            report.created != self._created
            or report.state.first_seq > self._vouched_sequence + 1
            or report.state.num_deleted
        ):
            raise FeedLostError("the stream has lost messages")
        self._vouched_sequence = sequence

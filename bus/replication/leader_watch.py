"""`LeaderWatch`: who leads, as one member sees it, and when another member may.

    the bucket ── all that it stores ──▶ LeaderWatch ──▶ on_change, `leader`
               ◀── a look, each second ──┘       └────▶ `vacant`: no member leads, nor believes that it does

A leader relies on its lease for two thirds of the lease's life, from when it sent the last renewal. A
successor counts a little more, from when it *heard* of that renewal, by its own clock. It does not trust a
broker to have waited for the lease's end: brokers' clocks may differ. A lease lives for longer than the
successor counts, so a member that has heard all messages does not wait. One that has just begun to listen, or
missed a message, counts from then on. A lease that was given up is vacant at once. (C. Gray and D. Cheriton:
Leases, SOSP 1989.)
"""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from bus.replication.cluster_bucket import ClusterBucket, Entry
from bus.transport.jetstream import JetStreamError
from hyperpage_client.documents import decoded

KEY = "leader"
# How long a lease that was handed over is left to the member that it was handed to.
HEAD_START_SECONDS = 2.0
# How often the bucket is looked at: the messages that it repeats may be lost.
LOOK_SECONDS = 1.0
_RETRY_SECONDS = 0.1

logger = logging.getLogger(__name__)


class LeaseLife(msgspec.Struct, frozen=True):
    """How long the bucket keeps a lease that is not renewed, in whole seconds; the same for all members."""

    seconds: int = 3

    @property
    def valid_seconds(self) -> float:
        """How long its holder relies on it, from when it sent the last renewal that was stored."""
        return self.seconds * 2 / 3

    @property
    def wait_seconds(self) -> float:
        """How long others wait, from when they heard of the last renewal: clocks do not run equally fast."""
        return self.valid_seconds * 1.1

    @property
    def renew_seconds(self) -> float:
        """The time from one renewal to the next."""
        return self.seconds / 3


USUAL_LIFE = LeaseLife()


class Leader(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The member that leads: its name, which process of that name, its term, where its HTTP API is.

    One that `gave_up` leads no more; `successor` is the member that it left the lease to, if it named one.
    """

    name: str
    instance: str
    term: int
    address: str
    gave_up: bool = False
    successor: str = ""


_decode = msgspec.json.Decoder(Leader).decode


def leader_in(entry: Entry) -> Leader | None:
    """The leader in an entry of the bucket; None if the entry has ended, or names no leader."""
    try:
        return decoded(_decode, entry.value) if entry.value else None
    except msgspec.DecodeError:
        logger.warning("message %d of the cluster's bucket names no leader", entry.sequence)
        return None


class LeaderWatch:
    """Watches the lease. Used in one event loop; `leader` may be read from any thread.

    `on_change` is called in that loop, at once, with another leader or term, or with None. `clock` counts
    seconds from any moment; those in which the machine slept should count, too.
    """

    def __init__(
        self,
        bucket: ClusterBucket,
        *,
        life: LeaseLife = USUAL_LIFE,
        on_change: Callable[[Leader | None], None] = lambda leader: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.leader: Leader | None = None
        self.life = life
        self._bucket = bucket
        self._on_change = on_change
        self.clock = clock
        # The newest known entry of the key, and the leader in it.
        self._entry: Entry | None = None
        self._found: Leader | None = None
        # The sequence of the last message heard from the bucket.
        self._heard: int | None = None
        # The latest moments at which a leader may have renewed the lease, and may have given it up.
        self._renewed_at = self._left_at = clock()
        self._news = asyncio.Event()
        self._look_again = asyncio.Event()

    @property
    def has_looked(self) -> bool:
        """Whether it knows who leads, or that no member does."""
        return self._entry is not None

    @property
    def silent_seconds(self) -> float:
        """How long ago a leader may last have renewed the lease. Any thread may ask."""
        return self.clock() - self._renewed_at

    @property
    def sequence(self) -> int:
        """The sequence that the next writer of the lease must expect."""
        return 0 if self._entry is None else self._entry.sequence

    async def run(self) -> None:
        """Watches until it is cancelled."""
        async with self._bucket.listening(self._hear):
            while True:
                self._look_again.clear()
                try:
                    await self.look()
                    seconds = LOOK_SECONDS
                except JetStreamError as error:
                    logger.debug("who leads cannot be seen: %s", error)
                    seconds = _RETRY_SECONDS
                await _set_or_later(self._look_again, seconds)

    async def look(self) -> None:
        """Asks the bucket who leads.

        Raises:
            JetStreamError: it does not answer.
        """
        before = self._entry
        entry = await self._bucket.last(KEY)
        # An entry that was heard meanwhile may be newer.
        if before is self._entry or self._entry is None or entry.sequence > self._entry.sequence:
            self._note(entry, was_heard=False)

    def is_vacant_for(self, name: str) -> bool:
        """Whether the member of that name may try to get the lease, for all that is known."""
        return self._vacant_in(name) <= 0

    async def vacant(self, name: str) -> None:
        """Returns when the member of that name may try to get the lease."""
        while (seconds := self._vacant_in(name)) > 0:
            self._news.clear()
            await _set_or_later(self._news, seconds)

    def _vacant_in(self, name: str) -> float:
        """In how many seconds that member may try, if nothing happens."""
        if self._entry is None:
            return float("inf")
        if self._found is None:
            return self._renewed_at + self.life.wait_seconds - self.clock()
        if not self._found.gave_up:
            return float("inf")
        if self._found.successor in ("", name):
            return 0.0
        return self._left_at + HEAD_START_SECONDS - self.clock()

    def _hear(self, entry: Entry) -> None:
        """Takes in an entry that the bucket has stored, under any key."""
        is_next = self._heard is not None and entry.sequence == self._heard + 1
        self._heard = entry.sequence
        if not is_next:
            # A renewal may have been missed, up to now.
            self._renewed_at = self.clock()
            self._look_again.set()
        if entry.key == KEY and entry.sequence > self.sequence:
            self._note(entry, was_heard=is_next)

    def _note(self, entry: Entry, *, was_heard: bool) -> None:
        known = self._entry
        # Values are compared, too: in a bucket that was made anew, sequences begin again.
        if known is not None and (entry.sequence, entry.value) == (known.sequence, known.value):
            return
        before, self._found = self._found, leader_in(entry)
        self._entry = entry
        if not was_heard or self._found is not None:
            self._renewed_at = self.clock()
        if self._found is not None and self._found.gave_up:
            self._left_at = self.clock()
        self._news.set()
        if self._found != before:
            leader = None if self._found is None or self._found.gave_up else self._found
            if leader != self.leader:
                self.leader = leader
                self._on_change(leader)


async def _set_or_later(event: asyncio.Event, seconds: float) -> None:
    """Returns when an event is set, at the latest after that many seconds."""
    try:
        async with asyncio.timeout(seconds if seconds != float("inf") else None):
            await event.wait()
    except TimeoutError:
        return

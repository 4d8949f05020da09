"""Leadership as a lease: a value with a time to live that its holder renews, in the cluster's bucket.

    acquire ─▶ held ── renewed each second        `is_valid`: until 2 s after the last renewal was sent
                │                                  in the bucket: until 3 s after it was stored
                ├── release ──▶ left to another member, or to any, which may have it at once
                └── not renewed for 2 s, or held by another member: LeaseLostError

No answered command rests on the lease. A leader is fenced off by the sequence that its next frame must expect
in the log (`bus.replication.replicating`): of two leaders, one stores nothing. With the lease, one member
leads and not all of them try, and a leader that was frozen or cut off refuses to answer from a file that may
be outdated. It needs clocks that run equally fast within a tenth (none has to be right), and a majority of
nats-servers that have not lost what they stored.

While the bucket's stream has no leader, no lease is renewed: nats-servers take 4 to 10 s to choose another
one after the machine with the last one is lost. A lease may end then although its holder lives.
"""

import asyncio
import logging

import msgspec

from bus.contract import codec
from bus.replication.cluster_bucket import ClusterBucket, Entry, OthersEntryError
from bus.replication.leader_watch import KEY, Leader, LeaderWatch, leader_in
from bus.transport.jetstream import JetStreamError, WrongSequenceError

_RETRY_SECONDS = 0.05
_NEVER = -float("inf")

logger = logging.getLogger(__name__)


class LeaseLostError(RuntimeError):
    """This member does not hold the lease any more; the message says why."""


class Lease:
    """The lease as one member has it, or tries to get it. Used in one event loop, but for `is_valid`.

    `instance` tells processes of one name apart, `address` is where its HTTP API is.
    """

    def __init__(
        self,
        bucket: ClusterBucket,
        watch: LeaderWatch,
        *,
        name: str,
        instance: str,
        address: str,
    ) -> None:
        self._bucket = bucket
        self._watch = watch
        self._life = watch.life
        # So short that a second attempt fits into the lease's validity.
        self._timeout_ms = int(300 * self._life.valid_seconds)
        self._clock = watch.clock
        self._said = Leader(name=name, instance=instance, term=0, address=address)
        self._sequence = 0
        self._is_held = False
        self._valid_until = _NEVER
        self._writing = asyncio.Lock()

    @property
    def is_valid(self) -> bool:
        """Whether this member holds the lease, and no other one does. Any thread may ask; it costs nothing.

        False as soon as that is not certain. Code that answers from the file asks *after* it has read there.
        """
        return self._clock() < self._valid_until

    async def acquire(self, term: int) -> bool:
        """Whether this member got the lease, for a term; it has to `keep` it. It does not wait for a vacancy.

        Raises:
            JetStreamError: the bucket does not answer. A lease that it stores nevertheless ends by itself.
        """
        async with self._writing:
            await self._watch.look()
            if not self._watch.is_vacant_for(self._said.name):
                return False
            self._said = msgspec.structs.replace(self._said, term=term)
            # Both of this moment: while the message is on its way, the watch may hear of an entry that was
            # not looked at.
            expected, began = self._watch.sequence, self._clock()
            try:
                self._sequence = await self._bucket.put(
                    KEY,
                    codec.encode(self._said),
                    expected=expected,
                    lives_seconds=self._life.seconds,
                    timeout_ms=self._timeout_ms,
                )
            except WrongSequenceError:
                # Another member was quicker.
                return False
            self._is_held, self._valid_until = True, began + self._life.valid_seconds
        return self.is_valid

    async def keep(self) -> None:
        """Renews the lease for as long as it is held.

        Raises:
            LeaseLostError: it is held no more: lost, or released. `is_valid` is false by then.
        """
        seconds = self._life.renew_seconds
        while True:
            await asyncio.sleep(seconds)
            async with self._writing:
                if not self._is_held:
                    raise LeaseLostError("the lease is not held any more")
                try:
                    await self._renew()
                    seconds = self._life.renew_seconds
                except JetStreamError as error:
                    logger.debug("the lease was not renewed: %s", error)
                    seconds = _RETRY_SECONDS

    async def tell(self, term: int) -> None:
        """Renews the lease, with the term that this member leads in.

        Raises:
            LeaseLostError, JetStreamError: as for any renewal.
        """
        async with self._writing:
            self._said = msgspec.structs.replace(self._said, term=term)
            if self._is_held:
                await self._renew()

    async def release(self, successor: str = "") -> None:
        """Gives the lease up, if it is held: the member of that name, or any, may have it at once.

        Raises:
            JetStreamError: others may not know; it ends by itself. LeaseLostError: it was lost before.
        """
        async with self._writing:
            if self._is_held:
                # Before another member can hear of it.
                self._lose()
                left = msgspec.structs.replace(self._said, gave_up=True, successor=successor)
                # The entry stays until the next holder writes its own, and need not wait for an end.
                await self._write(left, lives_seconds=None)

    async def _renew(self) -> None:
        """Renews the lease in time; otherwise it is lost, also if it was renewed, but too late."""
        began = self._clock()
        if self.is_valid:
            await self._write(self._said, lives_seconds=self._life.seconds)
        if not self.is_valid:
            self._lose()
            raise LeaseLostError(f"the lease could not be renewed for {self._life.valid_seconds:g} s")
        self._valid_until = began + self._life.valid_seconds

    async def _write(self, leader: Leader, *, lives_seconds: int | None) -> None:
        """Writes the lease's entry over this process's last one."""

        def is_own(entry: Entry) -> bool:
            found = leader_in(entry)
            return found is not None and found.instance == leader.instance

        try:
            self._sequence = await self._bucket.put_over_own(
                KEY,
                codec.encode(leader),
                expected=self._sequence,
                is_own=is_own,
                lives_seconds=lives_seconds,
                timeout_ms=self._timeout_ms,
            )
        except OthersEntryError as error:
            self._lose()
            found = leader_in(error.entry)
            who = "nobody" if found is None else found.name
            raise LeaseLostError(f"{who} holds the lease") from error

    def _lose(self) -> None:
        self._is_held, self._valid_until = False, _NEVER

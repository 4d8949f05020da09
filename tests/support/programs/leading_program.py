"""A candidate for the lease of a cluster as a process of its own, to be killed and frozen.

    python -m tests.support.programs.leading_program NAME LEASE_SECONDS SEED FILE URL…

A thread of it appends a line to FILE each time that it finds that it leads: the process, the number of the
attempt to get the lease, and the times of the machine's monotonic clock, in nanoseconds, before and after it
asked. Now and then the candidate gives the lease up, to a certain candidate or to any.
"""

import asyncio
import os
import random
import sys
import threading
import time

from bus.broker.users import RELAY, private_inbox
from bus.replication.cluster_bucket import ClusterBucket
from bus.replication.leader_watch import LeaderWatch, LeaseLife
from bus.replication.lease import Lease, LeaseLostError
from bus.transport.jetstream import JetStreamError
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.tasks import cancel
from hyperpage_client.transport.connection import LeanClient

ASK_SECONDS = 0.002
NAMES = ("a", "b", "c")


class Holder:
    def __init__(self, bucket: ClusterBucket, name: str, life: LeaseLife, chance: random.Random) -> None:
        self.watch = LeaderWatch(bucket, life=life)
        self.lease = Lease(
            bucket, self.watch, name=name, instance=f"{name}-{os.getpid()}-{time.time_ns()}", address=""
        )
        self._name = name
        self._life = life
        self._chance = chance
        self._attempts = 0

    async def take_part(self) -> None:
        """Takes the lease whenever it is vacant, and leads."""
        while True:
            await self.watch.vacant(self._name)
            self._attempts += 1
            try:
                if await self.lease.acquire(self._attempts):
                    await self._lead()
            except JetStreamError:
                await asyncio.sleep(0.05)

    async def _lead(self) -> None:
        keeping = asyncio.create_task(self.lease.keep())
        try:
            await asyncio.wait({keeping}, timeout=self._chance.uniform(0, 4) * self._life.seconds)
            if not keeping.done():
                await self.lease.release(self._chance.choice(("", *NAMES)))
        except LeaseLostError:
            return
        finally:
            await cancel(keeping)

    def tell(self, file: str) -> None:
        """Checks for ever whether it leads, and writes each time that it does to the file."""
        with open(file, "ab", buffering=0) as told:  # noqa: PTH123 - what is written is there, however this ends
            while True:
                attempt, before = self._attempts, time.monotonic_ns()
                if self.lease.is_valid:
                    after = time.monotonic_ns()
                    if attempt == self._attempts:
                        told.write(b"%d %d %d %d\n" % (os.getpid(), attempt, before, after))
                time.sleep(ASK_SECONDS)


async def main(name: str, seconds: str, seed: str, file: str, *urls: str) -> None:
    async def ignored(_: Exception) -> None:
        return

    connection = LeanClient()
    await connection.connect(
        list(urls),
        inbox_prefix=private_inbox(RELAY).encode(),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.05,  # type: ignore[arg-type]  # takes fractions, too
        connect_timeout=1,
        ping_interval=1,
        max_outstanding_pings=2,
        error_cb=ignored,
    )
    holder = Holder(
        ClusterBucket(connection, BusNames()), name, LeaseLife(int(seconds)), random.Random(f"{name} {seed}")
    )
    threading.Thread(target=holder.tell, args=(file,), daemon=True).start()
    await asyncio.gather(holder.watch.run(), holder.take_part())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

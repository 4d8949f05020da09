"""Candidates for the lease of a cluster, whose steps and clocks a test controls."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bus.replication.cluster_bucket import ClusterBucket
from bus.replication.leader_watch import Leader, LeaderWatch, LeaseLife
from bus.replication.lease import Lease
from bus.transport.jetstream import JetStreamApi
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.tasks import cancel
from hyperpage_client.transport.connection import LeanClient
from tests.support.clusters.nats_servers import answered
from tests.support.patience import until

STORE_ID = "store-1"
BUCKET_STREAM = "KV_hyperpage_cluster"
# A lease that the broker does not end within a test, even on a slow machine.
LONG = LeaseLife(60)
# The shortest lease that a broker supports.
SHORT = LeaseLife(1)


class Unhurried(LeaseLife, frozen=True):
    """A lease that no leader loses, and that no member waits for at its start."""

    @property
    def wait_seconds(self) -> float:
        return 0.0


UNHURRIED = Unhurried(60)


class Seconds:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Candidate:
    """One member, as far as the lease goes; `heard` lists the names of the leaders that it heard of."""

    def __init__(
        self, connection: LeanClient, name: str, life: LeaseLife, clock: Callable[[], float] | None
    ) -> None:
        self.name = name
        self.heard: list[str | None] = []
        self.bucket = ClusterBucket(connection, BusNames())
        self.seconds = Seconds()
        self.watch = LeaderWatch(
            self.bucket, life=life, on_change=self._hear, clock=self.seconds if clock is None else clock
        )
        self.lease = Lease(self.bucket, self.watch, name=name, instance=f"{name}-1", address=f"http://{name}")
        self._watching: asyncio.Task[None] | None = None

    async def watches(self) -> None:
        """Starts the watch; it has looked once when this returns."""
        self._watching = asyncio.create_task(self.watch.run())
        await until(lambda: self.watch.has_looked)

    async def stops(self) -> None:
        if self._watching is not None:
            await cancel(self._watching)
            self._watching = None

    def is_vacant(self) -> bool:
        return self.watch.is_vacant_for(self.name)

    def waits(self) -> None:
        """Lets the time pass after which an earlier leader, unless it is heard of, can't believe to lead."""
        self.seconds.now += self.watch.life.wait_seconds

    def _hear(self, leader: Leader | None) -> None:
        self.heard.append(None if leader is None else leader.name)


async def emptied(connection: LeanClient, *, replicas: int = 1) -> None:
    """Makes the cluster's bucket anew."""
    await answered(lambda: JetStreamApi(connection).delete(BUCKET_STREAM))
    await prepared(ClusterBucket(connection, BusNames()), replicas)


async def prepared(bucket: ClusterBucket, replicas: int) -> None:
    """Makes or finds the bucket, as soon as the broker allows it."""
    await answered(lambda: bucket.prepare(store_id=STORE_ID, replicas=replicas))


@asynccontextmanager
async def candidates(
    connection: LeanClient, *names: str, life: LeaseLife = LONG, clock: Callable[[], float] | None = None
) -> AsyncIterator[list[Candidate]]:
    """Candidates that watch, each with a clock of its own that stands still, if none is given."""
    found = [Candidate(connection, name, life, clock) for name in names]
    try:
        for one in found:
            await one.watches()
        yield found
    finally:
        for one in found:
            await one.stops()

"""The bucket in which members report: the brokers it needs, its store, its number of copies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import ServerVersion

from bus.broker.server import NatsServer
from bus.broker.users import RELAY, private_inbox
from bus.replication.cluster_bucket import (
    AnotherPrefixError,
    AnotherStoresClusterError,
    ClusterBucket,
    OldBrokerError,
    is_end,
)
from bus.replication.log_stream import TooFewReplicasError
from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connecting import connect
from hyperpage_client.transport.connection import LeanClient
from tests.support.clusters.electing import BUCKET_STREAM, STORE_ID, emptied, prepared
from tests.support.clusters.nats_servers import Cluster, answered
from tests.support.patience import until
from tests.support.services.serving import relay_user

NAMES = BusNames()


async def has_replicas(api: JetStreamApi, count: int) -> bool:
    try:
        report = await api.report(BUCKET_STREAM)
    except JetStreamError:
        # They are choosing a leader.
        return False
    return report is not None and report.config["num_replicas"] == count


class OldBrokersClient(LeanClient):
    """A connection with a nats-server that is older."""

    @property
    def connected_server_version(self) -> ServerVersion:
        return ServerVersion("2.10.29")


@asynccontextmanager
async def bucket_on(broker: NatsServer) -> AsyncIterator[ClusterBucket]:
    async with relay_user(broker) as relay:
        await emptied(relay)
        yield ClusterBucket(relay, NAMES)


def test_another_stores_cluster_is_refused(broker: NatsServer) -> None:
    async def scenario() -> None:
        async with bucket_on(broker) as bucket:
            await bucket.prepare(store_id=STORE_ID, replicas=1)
            with pytest.raises(
                AnotherStoresClusterError, match="is of the store store-1, and this one is another"
            ):
                await bucket.prepare(store_id="another", replicas=1)
            assert await bucket.store_id() == STORE_ID

    asyncio.run(scenario())


def test_a_prefix_with_streams_of_the_same_names_is_refused(broker: NatsServer) -> None:
    async def scenario() -> None:
        async with relay_user(broker) as relay:
            await JetStreamApi(relay).delete("KV_a_b_cluster")
            await ClusterBucket(relay, BusNames(prefix="a.b")).prepare(store_id=STORE_ID, replicas=1)
            with pytest.raises(AnotherPrefixError, match=r"is of the prefix a\.b, and this one is a_b"):
                await ClusterBucket(relay, BusNames(prefix="a_b")).prepare(store_id=STORE_ID, replicas=1)

    asyncio.run(scenario())


def test_a_broker_that_is_no_cluster_has_one_copy_and_only_where_that_is_meant(broker: NatsServer) -> None:
    async def scenario() -> None:
        async with relay_user(broker) as relay:
            await JetStreamApi(relay).delete(BUCKET_STREAM)
            with pytest.raises(TooFewReplicasError, match="replication_replicas to 1"):
                await ClusterBucket(relay, NAMES).prepare(store_id=STORE_ID, replicas=3)
            await ClusterBucket(relay, NAMES).prepare(store_id=STORE_ID, replicas=1)
            with pytest.raises(TooFewReplicasError):
                await ClusterBucket(relay, NAMES).prepare(store_id=STORE_ID, replicas=3)

    asyncio.run(scenario())


def test_a_broker_that_is_too_old_is_named_with_the_version_that_is_needed(broker: NatsServer) -> None:
    async def scenario() -> None:
        relay = await connect(
            broker.url_for(RELAY),
            inbox_prefix=private_inbox(RELAY),
            within_seconds=10,
            client=OldBrokersClient(),
        )
        try:
            with pytest.raises(OldBrokerError, match=r"which is 2\.10\.29, .* 2\.11 or newer"):
                await ClusterBucket(relay, NAMES).prepare(store_id=STORE_ID, replicas=1)
        finally:
            await relay.close()

    asyncio.run(scenario())


def test_a_cluster_of_three_has_three_copies_also_of_what_began_with_one_and_one_of_two_has_not(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async def scenario() -> None:
        async with Cluster(tmp_path_factory.mktemp("three")) as cluster, cluster.connected() as relay:
            await emptied(relay, replicas=1)
            bucket, api = ClusterBucket(relay, NAMES), JetStreamApi(relay)
            for _ in range(2):
                await prepared(bucket, 3)
                await until(lambda: has_replicas(api, 3))
        async with Cluster(tmp_path_factory.mktemp("two"), count=2) as cluster, cluster.connected() as relay:
            with pytest.raises(TooFewReplicasError, match="cannot keep 3 copies"):
                await answered(lambda: ClusterBucket(relay, NAMES).prepare(store_id=STORE_ID, replicas=3))

    asyncio.run(scenario())


def test_a_value_ends_with_a_marker_of_whatever_kind() -> None:
    assert is_end({"Nats-Marker-Reason": "MaxAge"})
    assert is_end({"KV-Operation": "PURGE"})
    assert not is_end({"KV-Operation": "PUT"})

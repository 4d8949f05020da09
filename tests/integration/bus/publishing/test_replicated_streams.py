"""Publishing into a stream of several nats-servers, into which another client has published."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from bus.publishing.publisher import Publisher
from bus.transport.jetstream import JetStreamApi, WrongSequenceError
from tests.support.clusters.nats_servers import Cluster, answered

NAME, SUBJECT = "HYPERPAGE_EVENTS", "hyperpage.evt.v1.jobs.created.x"


def test_somebody_elses_message_does_not_stop_the_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Cluster(tmp_path) as cluster, cluster.connected() as connection:
            api = JetStreamApi(connection)
            config = {"name": NAME, "subjects": [SUBJECT], "num_replicas": 3, "storage": "file"}
            await answered(lambda: api.create(config))
            store = partial(api.store, SUBJECT, b"another one's", {})
            await answered(store)
            publisher = Publisher(connection, NAME)
            await publisher.open()
            publisher.begin(0, is_replicated=True)
            await publisher.send([(SUBJECT, b"1", {})])
            # This message expects the first one, whose sequence another client's message has taken.
            await publisher.send([(SUBJECT, b"2", {})])
            with pytest.raises(WrongSequenceError):
                await publisher.settle()
            await answered(store)
            await answered(store)

    asyncio.run(scenario())

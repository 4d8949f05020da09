"""Publishing into a stream of several nats-servers, into which another client has published."""

import asyncio
from pathlib import Path

import pytest

from bus.publishing.publisher import Publisher
from bus.transport.jetstream import JetStreamApi, JetStreamError, WrongSequenceError
from tests.support.clusters.nats_servers import Cluster, answered
from tests.support.patience import until

NAME, SUBJECT = "HYPERPAGE_EVENTS", "hyperpage.evt.v1.jobs.created.x"


def test_somebody_elses_message_does_not_stop_the_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Cluster(tmp_path) as cluster, cluster.connected() as connection:
            api = JetStreamApi(connection)
            config = {"name": NAME, "subjects": [SUBJECT], "num_replicas": 3, "storage": "file"}
            await answered(lambda: api.create(config))

            async def is_stored() -> bool:
                try:
                    await api.store(SUBJECT, b"another one's", {})
                except JetStreamError:
                    return False
                return True

            await until(is_stored)
            publisher = Publisher(connection, NAME)
            await publisher.open()
            publisher.begin(0, is_replicated=True)
            await publisher.send([(SUBJECT, b"1", {})])
            # This message expects the first one, whose sequence another client's message has taken.
            await publisher.send([(SUBJECT, b"2", {})])
            with pytest.raises(WrongSequenceError):
                await publisher.settle()
            await until(is_stored)
            await until(is_stored)

    asyncio.run(scenario())

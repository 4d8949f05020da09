"""A service whose groups go into a log on the nats-server before they are answered."""

import asyncio
from pathlib import Path

import pytest

from bus.replication.log_stream import LogStream
from ops.replication_settings import Replication
from ops.service.composition import Service
from ops.service.errors import ServiceError
from ops.settings import Settings
from tests.support.services.asking import HttpTalk


def test_what_is_answered_is_in_the_log_and_the_next_start_goes_on(tmp_path: Path):
    with HttpTalk(tmp_path, replication="sync", replication_replicas=1) as talk:
        first = talk.post("/api/v1/app_state/set", {"key": "k", "value": 1})
        assert first.json()["version"] == 1
    with HttpTalk(tmp_path, replication="sync", replication_replicas=1) as talk:
        assert talk.post("/api/v1/app_state/set", {"key": "k", "value": 2}).json()["version"] == 2
        origin = talk.service.origin
        log = LogStream(talk.service.parts.relay_connection, talk.service.names, origin.store_id)
        end = talk.run(log.end())

        assert end.place is not None
        assert (end.place.term, end.place.last) == (2, 2)


@pytest.mark.parametrize("replication", ["sync", "async"])
def test_copies_that_the_nats_server_cannot_keep_are_refused_at_the_start(
    tmp_path: Path, replication: Replication
):
    settings = Settings(data=tmp_path, nats_port=0, no_http=True, replication=replication)

    with pytest.raises(ServiceError, match="cannot keep 3 copies") as refused:
        asyncio.run(Service(settings).start())

    assert "replication_replicas" in refused.value.hint

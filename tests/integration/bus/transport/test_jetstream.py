"""Requests to JetStream's API, one at a time."""

import asyncio
from pathlib import Path

import pytest

from bus.broker.server import NatsServer
from bus.transport.jetstream import JetStreamApi, JetStreamError, StreamFullError, WrongSequenceError
from tests.support.services.serving import EVENTS, relay_user

SUBJECT = "hyperpage.evt.v1.jobs.1.enqueued"
CONFIG = {
    "name": EVENTS,
    "subjects": ["hyperpage.evt.v1.>"],
    "storage": "file",
    "discard": "new",
    "max_msgs": 2,
    "allow_direct": True,
}


def test_what_was_stored_is_read_as_it_was_sent_and_what_was_not_says_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with NatsServer(data=tmp_path, port=0) as server, relay_user(server) as relay:
            api = JetStreamApi(relay)
            with pytest.raises(JetStreamError, match="no stream takes messages"):
                await api.store(SUBJECT, b"", {})
            await api.create(CONFIG)
            after = {"Nats-Expected-Last-Sequence": "0"}
            assert await api.store(SUBJECT, b"one", {**after, "Mine": "a: b"}) == 1
            with pytest.raises(WrongSequenceError):
                await api.store(SUBJECT, b"two", after)
            found, last = await api.message_at(EVENTS, 1), await api.last_message(EVENTS, SUBJECT)
            assert found is not None
            assert found == last
            assert (found.payload, found.headers) == (b"one", {**after, "Mine": "a: b"})
            assert [one.headers["Mine"] for one in await api.messages_from(EVENTS, 1)] == ["a: b"]
            report = await api.report_with(EVENTS, "hyperpage.evt.v1.jobs.>")
            assert report is not None
            assert report.state.subjects == {SUBJECT: 1}
            assert found.time is not None
            assert report.time is not None
            assert found.time <= report.time
            assert await api.store(SUBJECT, b"", {}) == 2
            with pytest.raises(StreamFullError, match="no room"):
                await api.store(SUBJECT, b"", {})

    asyncio.run(scenario())

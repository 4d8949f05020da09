"""The log as frames of server-sent events, of a store whose leader may begin a timeline."""

import asyncio
from pathlib import Path

from bus.log.reader_pool import ReaderPool
from ops.http.following.event_feed import EventFeed
from tests.support.stores.writing import Store


def test_events_are_of_the_timeline_that_began_while_somebody_follows(tmp_path: Path):
    async def scenario() -> None:
        readers = ReaderPool(store.path)
        feed = EventFeed(readers.connection, store.origin, 1)
        before = await feed.after(0, "*")
        assert before is not None
        assert b"id: 1-1\n" in before.frames
        # As a follower takes in the new timeline.
        store.origin.timelines = ((1, 1), (2, 2))
        store.send("app_state.set", {"key": "k", "value": 2})
        feed.notify(2)
        assert await feed.beyond(1, 30)
        after = await feed.after(1, "*")
        assert after is not None
        assert b"id: 2-2\n" in after.frames
        assert b'"timeline":2' in after.frames
        assert feed.place_of("1-2") == 1
        feed.close()
        readers.close()

    with Store(tmp_path / "hyperpage.db") as store:
        store.send("app_state.set", {"key": "k", "value": 1})
        asyncio.run(scenario())

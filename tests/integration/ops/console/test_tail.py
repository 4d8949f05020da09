"""The live tail as its script gets it: lines that are sent, lines that are only counted, and the pace."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from ops.http.access.tokens import TokenFile
from ops.http.following import tails
from ops.http.following.tails import MAXIMUM_SHOWN, PERIOD_SECONDS
from tests.support.http_clients import asynchronous_client
from tests.support.patience import patiently, until
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor

STREAM = "/console/tail/stream"
BEGIN = {"seen": 0, "lines": [], "missed": 0}


@asynccontextmanager
async def watching(talk: HttpTalk, path: str = STREAM, **headers: str) -> AsyncIterator[AsyncIterator[Any]]:
    """The pieces of the live tail; the first one says where they begin."""
    async with (
        asynchronous_client(talk.url, timeout=patiently(10)) as client,
        client.stream("GET", path, headers=headers) as response,
    ):
        assert response.status_code == 200

        async def pieces() -> AsyncIterator[Any]:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield msgspec.json.decode(line.removeprefix("data: "))

        yield pieces()


async def set_keys(talk: HttpTalk, count: int) -> None:
    """Stores that many events at once; each value is a new one."""
    items = [
        {"command": "app_state.set", "body": {"key": f"k{number}", "value": os.urandom(4).hex()}}
        for number in range(count)
    ]
    feed = talk.service.http.backend.now.feed  # type: ignore[union-attr]
    last = feed.head + count
    await talk.client.command("batch", {"atomic": True, "commands": items})
    # HTTP is told of what was committed; the answer to its sender may be quicker.
    await until(lambda: feed.head >= last)


def test_what_is_too_much_for_eyes_is_counted(talk: HttpTalk) -> None:
    async def watch() -> None:
        async with watching(talk) as pieces:
            assert await anext(pieces) == BEGIN
            await set_keys(talk, 500)
            seen, lines = 0, []
            while seen < 500:
                piece = await anext(pieces)
                assert len(piece["lines"]) <= MAXIMUM_SHOWN
                # The newest of them, the very last one first.
                assert [one["position"] for one in piece["lines"]] == sorted(
                    (one["position"] for one in piece["lines"]), reverse=True
                )
                seen = piece["seen"]
                lines += piece["lines"]
            assert seen == 500
            assert lines[0]["stream"].startswith("app_state/k")
            assert max(one["position"] for one in lines) == 500

    talk.run(watch())


def test_what_comes_slowly_is_shown_to_all_and_so_is_what_came_before(
    talk: HttpTalk,
) -> None:
    def places(piece: Any) -> list[int]:
        return [one["position"] for one in piece["lines"]]

    async def watch() -> None:
        await set_keys(talk, 3)
        # The page that asks shows what is there up to position 1.
        async with watching(talk, STREAM + "?after=1") as pieces:
            begin = await anext(pieces)
            assert (begin["seen"], begin["missed"], places(begin)) == (0, 2, [3, 2])
            await set_keys(talk, 1)
            assert places(await anext(pieces)) == [4]
            await set_keys(talk, 1)
            # A piece repeats the lines of the one before, for a page that missed it.
            assert places(await anext(pieces)) == [5, 4]
        async with watching(talk, STREAM + "?after=1", **{"Last-Event-ID": "4"}) as pieces:
            assert places(await anext(pieces)) == [5]

    talk.run(watch())


def test_one_table_is_watched_alone_and_counted_alone(talk: HttpTalk) -> None:
    async def watch() -> None:
        async with watching(talk, STREAM + "?table=jobs") as pieces:
            assert await anext(pieces) == BEGIN
            await set_keys(talk, 30)
            await talk.client.command("jobs.enqueue", {"id": "j", "type": "t", "name": "n"})
            piece = await anext(pieces)
            assert piece["seen"] == 1
            assert piece["lines"][0]["stream"] == "jobs/j"

    talk.run(watch())


def test_whoever_was_away_for_long_is_told_of_what_is_newest(
    talk: HttpTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "MOST_LOOKED_AT", 3)

    async def watch() -> None:
        await set_keys(talk, 5)
        async with watching(talk, STREAM + "?table=app_state&after=0") as pieces:
            begin = await anext(pieces)
        assert ([one["position"] for one in begin["lines"]], begin["missed"]) == ([5, 4, 3], 3)

    talk.run(watch())


def test_at_most_ten_pieces_come_in_a_second_whatever_happens(talk: HttpTalk) -> None:
    async def watch() -> None:
        clock = asyncio.get_running_loop().time
        came: list[float] = []
        async with watching(talk) as pieces:
            await anext(pieces)
            busy = asyncio.create_task(keep_busy())
            while len(came) < 12:
                await anext(pieces)
                came.append(clock())
            busy.cancel()
        # Single pieces may bunch up on their way, but not all of them together.
        assert came[-1] - came[0] >= (len(came) - 1) * 0.1

    async def keep_busy() -> None:
        while True:
            await set_keys(talk, 50)

    talk.run(watch())


def test_those_who_watch_get_their_pieces_one_after_the_other(talk: HttpTalk) -> None:
    assert talk.service.http is not None
    tails = talk.service.http.backend.now.tails
    delays = sorted(tails.delay_seconds() for _ in range(50))
    apart = [later - earlier for earlier, later in pairwise(delays)]
    assert delays[0] >= 0
    assert delays[-1] < PERIOD_SECONDS
    # Spread evenly, the delays would be a fiftieth of the period apart.
    assert min(apart) > PERIOD_SECONDS / 200
    assert max(apart) < PERIOD_SECONDS / 25


def test_nothing_is_read_for_nobody(talk: HttpTalk) -> None:
    async def watch() -> None:
        assert talk.service.http is not None
        tails = talk.service.http.backend.now.tails
        async with watching(talk) as pieces, watching(talk) as more:
            await anext(pieces)
            await anext(more)
            assert [tail.watchers for tail in tails._tails.values()] == [2]
        await until(lambda: not tails._tails, patiently(5))

    talk.run(watch())


def test_who_watches_ends_with_the_token(talk: HttpTalk) -> None:
    _, secret = TokenFile(talk.data).create("ops", "read")

    async def watch() -> None:
        async with watching(talk, Authorization=f"Bearer {secret}") as pieces:
            await anext(pieces)
            TokenFile(talk.data).revoke("ops")
            async with asyncio.timeout(patiently(15)):
                while True:
                    await set_keys(talk, 1)
                    try:
                        await anext(pieces)
                    except StopAsyncIteration:
                        return

    talk.run(watch())
    assert talk.get(STREAM, headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_the_page_begins_with_the_newest(talk: HttpTalk) -> None:
    talk.command("jobs.enqueue", {"id": "j", "type": "t", "name": "n"}, headers={"Hyperpage-Actor": HOSTILE})
    talk.command("app_state.set", {"key": "k", "value": 1})
    page = Visitor(talk, "read").page("/console/tail?table=jobs")
    assert "jobs/<wbr>j" in page
    assert "app_state/k" not in page
    assert "<script>alert" not in page

"""The events as server-sent events: from any position, nothing left out; a slow reader is cut off."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.http.access.tokens import TokenFile
from ops.http.following.event_feed import PACE_SECONDS, Piece
from ops.http.layers import sending
from ops.http.routes import streaming
from tests.support.http_clients import asynchronous_client
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.services.asking import HttpTalk, problem
from tests.support.services.serving import copy_of, restore_by_hand

EVENTS = "/api/v1/events"


class Reader:
    """The events that come out of a stream, one by one."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.last_id = ""

    async def take(self, count: int) -> list[Any]:
        """The next events."""
        events: list[Any] = []
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            while len(events) < count:
                line = await anext(self._lines)
                if line.startswith("id: "):
                    self.last_id = line.removeprefix("id: ")
                elif line.startswith("data: "):
                    events.append(json.loads(line.removeprefix("data: ")))
                    assert events[-1]["id"] == self.last_id
        return events


@asynccontextmanager
async def reading(talk: HttpTalk, path: str = EVENTS, **headers: str) -> AsyncIterator[Reader]:
    async with (
        asynchronous_client(talk.url) as client,
        client.stream("GET", path, headers=headers) as response,
    ):
        yield Reader(response)


def set_keys(talk: HttpTalk, *keys: str) -> None:
    for key in keys:
        assert talk.command("app_state.set", {"key": key, "value": key}).said["events"]


def test_from_any_position_each_event_comes_once_and_then_live(talk: HttpTalk) -> None:
    set_keys(talk, "a", "b", "c")

    async def read() -> list[Any]:
        async with reading(talk, f"{EVENTS}?after=1") as reader:
            assert reader.response.headers["content-type"].startswith("text/event-stream")
            events = await reader.take(2)
            await talk.client.command("app_state.set", {"key": "d", "value": 1})
            return [*events, *(await reader.take(1))]

    events = talk.run(read())

    assert [event["sequence"] for event in events] == ["2", "3", "4"]
    logged = talk.query("events.read", {"after": 1}).said["items"]
    assert events == logged


def test_without_a_position_what_comes_from_now_on_is_followed(talk: HttpTalk) -> None:
    set_keys(talk, "a")
    feed = talk.service.http.backend.now.feed  # type: ignore[union-attr]

    async def read() -> Any:
        # Followers hear of an event in the moment after its command was answered.
        await until(lambda: feed.head == 1)
        async with reading(talk) as reader:
            await talk.client.command("app_state.set", {"key": "b", "value": 1})
            return await reader.take(1)

    assert [event["sequence"] for event in talk.run(read())] == ["2"]


def test_who_comes_back_goes_on_behind_the_last_event_that_they_had(talk: HttpTalk) -> None:
    set_keys(talk, "a", "b", "c")

    async def read() -> list[Any]:
        async with reading(talk, f"{EVENTS}?after=0") as reader:
            first = await reader.take(2)
        # As a browser that reconnects: its address still has the old position.
        again: dict[str, str] = {"Last-Event-ID": reader.last_id}
        async with reading(talk, f"{EVENTS}?after=0", **again) as reader:
            return [*first, *(await reader.take(1))]

    assert [event["sequence"] for event in talk.run(read())] == ["1", "2", "3"]


def test_one_table_or_one_stream_can_be_followed(talk: HttpTalk) -> None:
    talk.command("jobs.enqueue", {"id": "j", "type": "t", "name": "n"})
    set_keys(talk, "a", "b")

    async def read(query: str) -> str:
        async with reading(talk, f"{EVENTS}?after=0&{query}") as reader:
            [event] = await reader.take(1)
            return str(event["subject"])

    assert talk.run(read("table=app_state")) == "app_state/a"
    assert talk.run(read("stream=app_state/b")) == "app_state/b"
    problem(talk.get(f"{EVENTS}?table=jobs&stream=jobs/j"), 400, "invalid")


def test_line_ends_between_the_tokens_of_a_value_do_not_end_an_event(talk: HttpTalk) -> None:
    body = b'{"key": "a", "value": [1,\n\n2,\r\n"\\n",\r3]}'
    assert talk.command("app_state.set", body).said["events"]

    async def read() -> Any:
        async with reading(talk, f"{EVENTS}?after=0") as reader:
            [event] = await reader.take(1)
            return event["data"]["value"]

    assert talk.run(read()) == [1, 2, "\n", 3]


@pytest.mark.parametrize("place", ["x", "-1", "1-x", "99", "1-99", "7-1", "1-1-1", "9" * 30])
def test_a_place_that_this_log_does_not_have_is_refused(talk: HttpTalk, place: str) -> None:
    set_keys(talk, "a")

    problem(talk.get(EVENTS, headers={"Last-Event-ID": place}), 400, "invalid")


def test_after_a_restore_whoever_was_ahead_of_it_begins_with_the_fork(tmp_path: Path) -> None:
    talk = HttpTalk(tmp_path)
    set_keys(talk, "a", "b")
    talk.stop()
    older = copy_of(talk.settings.store_path)
    talk.start()
    set_keys(talk, "c", "d")
    talk.stop()
    restore_by_hand(talk.settings.store_path, older)
    talk.start()
    set_keys(talk, "e")

    async def read(place: str) -> list[str]:
        headers: dict[str, str] = {"Last-Event-ID": place}
        async with reading(talk, f"{EVENTS}?table=app_state", **headers) as reader:
            return [event["type"] for event in await reader.take(2)]

    with talk:
        assert talk.run(read("1-4")) == ["hyperpage.timeline.forked.v1", "hyperpage.app_state.set.v1"]
        # A reader that had not come as far gets the fork in its place.
        assert talk.run(read("1-1")) == ["hyperpage.app_state.set.v1", "hyperpage.timeline.forked.v1"]


def test_many_readers_and_many_commands_leave_nothing_out(talk: HttpTalk) -> None:
    readers, commands = 10, 600

    async def read() -> list[list[int]]:
        async def one(after: int) -> list[int]:
            async with reading(talk, f"{EVENTS}?after={after}") as reader:
                return [int(event["sequence"]) for event in await reader.take(commands - after)]

        following = [asyncio.create_task(one(0)) for _ in range(readers)]
        await asyncio.gather(
            *(talk.client.command("app_state.set", {"key": f"k{n}", "value": n}) for n in range(commands))
        )
        late = await one(commands // 3)
        return [*(await asyncio.gather(*following)), late]

    *following, late = talk.run(read())

    assert following == [list(range(1, commands + 1))] * readers
    assert late == list(range(commands // 3 + 1, commands + 1))


def test_what_many_follow_is_made_once_for_all_of_them(
    talk: HttpTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers, commands = 12, 400
    feed = talk.service.http.backend.now.feed  # type: ignore[union-attr]
    made: list[int] = []
    read = feed._read

    def noted(after: int, told: int, streams: str) -> Piece | None:
        made.append(after)
        return read(after, told, streams)

    monkeypatch.setattr(feed, "_read", noted)

    async def scene() -> float:
        async def one(ready: asyncio.Semaphore) -> None:
            async with reading(talk) as reader:
                ready.release()
                assert len(await reader.take(commands)) == commands

        ready = asyncio.Semaphore(0)
        following = [asyncio.create_task(one(ready)) for _ in range(readers)]
        for _ in range(readers):
            await ready.acquire()
        began = asyncio.get_running_loop().time()
        for number in range(commands):
            await talk.client.command("app_state.set", {"key": "k", "value": number})
        await asyncio.gather(*following)
        return asyncio.get_running_loop().time() - began

    seconds = talk.run(scene())

    # The log is read as often as for one reader: not for each of them, and not with each commit.
    assert len(made) == len(set(made))
    assert len(made) <= seconds / PACE_SECONDS + 2


def test_more_readers_than_are_allowed_are_refused_and_commands_go_on(tmp_path: Path) -> None:
    with HttpTalk(tmp_path, http_event_streams=3) as talk:

        async def flood() -> list[int]:
            async with asynchronous_client(talk.url) as client:
                streams = [
                    await client.send(client.build_request("GET", EVENTS), stream=True) for _ in range(20)
                ]
                stored = await client.post("/api/v1/app_state/set", json={"key": "a", "value": 1})
                for one in streams:
                    await one.aclose()
                return [stored.status_code, *(one.status_code for one in streams)]

        assert talk.run(flood()) == [200, *[200] * 3, *[429] * 17]

        # Readers that have gone do not count any more.
        assert talk.service.http is not None
        talk.run(until(lambda: talk.service.http.event_streams.taken == 0))  # type: ignore[union-attr]

        async def follow() -> int:
            async with reading(talk) as reader:
                return reader.response.status_code

        assert talk.run(follow()) == 200


def test_a_reader_that_takes_nothing_is_cut_off_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SEND_SECONDS", 0.2)
    with HttpTalk(tmp_path) as talk:
        # More than the buffers of both ends hold.
        value = "x" * 60_000
        for number in range(150):
            talk.command("app_state.set", {"key": f"k{number}", "value": value})
        slow = socket.create_connection(talk.service.http.listens_at)  # type: ignore[union-attr]
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(f"GET {EVENTS}?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        streams = talk.service.http.event_streams  # type: ignore[union-attr]
        talk.run(until(lambda: streams.taken == 1))
        talk.run(until(lambda: streams.taken == 0))
        slow.close()
        monkeypatch.setattr(sending, "SEND_SECONDS", COMES_WITHIN_SECONDS)

        async def read() -> list[int]:
            async with reading(talk, f"{EVENTS}?after=0") as reader:
                return [int(event["sequence"]) for event in await reader.take(150)]

        assert talk.run(read()) == list(range(1, 151))


def test_who_lost_the_right_to_follow_does_not_go_on(talk: HttpTalk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LOOK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(streaming, "QUIET_SECONDS", 0.05)
    _, secret = TokenFile(talk.data).create("follower", "read")

    async def read() -> bytes:
        headers: dict[str, str] = {"Authorization": f"Bearer {secret}"}
        async with reading(talk, **headers) as reader:
            TokenFile(talk.data).revoke("follower")
            async with asyncio.timeout(COMES_WITHIN_SECONDS):
                return await reader.response.aread()

    assert talk.run(read()).startswith(b"retry: ")


def test_streams_end_with_the_service_and_do_not_hold_it_up(talk: HttpTalk) -> None:
    async def read() -> None:
        async with reading(talk) as reader:
            stopping = asyncio.create_task(talk.service.stop())
            async with asyncio.timeout(10):
                await reader.response.aread()
                await stopping

    talk.run(read())
    talk.is_running = False

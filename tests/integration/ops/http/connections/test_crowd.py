"""Clients that only hold connections open stop no others: health, commands and memory stay as they are."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from ops.http.access.tokens import TokenFile
from ops.http.layers import bodies, sending
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.services.asking import HttpTalk
from tests.support.services.sockets import (
    HOST,
    SET,
    answered,
    command,
    connected,
    get,
)

ONE = ("127.0.0.1",)
SEVERAL = tuple(f"127.0.0.{number}" for number in range(2, 7))


def test_more_connections_than_one_address_may_have_end_those_that_only_wait(tmp_path: Path) -> None:
    async def attack(talk: HttpTalk) -> None:
        http = talk.service.http
        assert http is not None
        follower, follows = await connected(talk)
        follows.write(b"GET /api/v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
        await follower.readuntil(b"retry: ")
        first = [await connected(talk) for _ in range(20)]
        other = await connected(talk, "127.0.0.2")
        second = [await connected(talk) for _ in range(20)]
        await until(lambda: http.counts.gave_way >= 20)

        # Only idle connections of the address with too many were ended, the oldest first; the stream goes on.
        assert http.crowd.count == 21
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            for reader, _ in first:
                assert await reader.read() == b""
        await talk.client.command("app_state.set", {"key": "a", "value": 1})
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            await follower.readuntil(b"data: ")
        other[1].write(get("/livez"))
        assert (await other[0].read(12)) == b"HTTP/1.1 200"
        second[-1][1].write(get("/livez"))
        assert (await second[-1][0].read(12)) == b"HTTP/1.1 200"
        for _, writer in (*first, *second, other, (follower, follows)):
            writer.close()

    with HttpTalk(tmp_path, http_connections=30, http_connections_of_one_address=20) as talk:
        talk.run(attack(talk))


def test_no_address_keeps_the_others_out_when_there_are_too_many_in_all(tmp_path: Path) -> None:
    async def attack(talk: HttpTalk) -> None:
        http = talk.service.http
        assert http is not None
        held = [await connected(talk, host) for host in SEVERAL[:2] for _ in range(20)]
        await until(lambda: http.counts.gave_way >= 10)
        assert (await answered(talk, get("/livez"), SEVERAL[2])).startswith(b"HTTP/1.1 200 ")
        for _, writer in held:
            writer.close()

    with HttpTalk(tmp_path, http_connections=30, http_connections_of_one_address=20) as talk:
        talk.run(attack(talk))


def test_behind_a_known_proxy_all_share_one_address_and_are_told_apart(tmp_path: Path) -> None:
    async def attack(talk: HttpTalk) -> list[bytes]:
        first = [await connected(talk) for _ in range(40)]
        for _, writer in first:
            writer.write(b"GET /livez HTTP/1.1\r\n" + HOST + b"X-Forwarded-For: 192.0.2.1\r\n\r\n")
        answers = [await reader.readuntil(b"}") for reader, _ in first]
        for _, writer in first:
            writer.close()
        forwarded = [b"192.0.2.1"] * 30 + [b"192.0.2.2"]
        headers = [b"X-Forwarded-For: " + one + b"\r\n" for one in forwarded]
        return answers + [await answered(talk, get("/api/v1/jobs", one)) for one in headers]

    TokenFile(tmp_path).create("somebody", "read")
    with HttpTalk(
        tmp_path,
        http_connections_of_one_address=20,
        http_proxies=("127.0.0.1",),
        http_requests_per_second=3.0,
    ) as talk:
        answers = talk.run(attack(talk))

    statuses = [int(answer[9:12]) for answer in answers]
    assert statuses[:40] == [200] * 40
    assert set(statuses[40:-1]) == {401, 429}
    assert statuses[-1] == 401


def test_nobody_is_believed_about_where_they_come_from_without_being_a_known_proxy(tmp_path: Path) -> None:
    async def attack(talk: HttpTalk) -> set[int]:
        answers = [
            await answered(talk, get("/api/v1/jobs", b"X-Forwarded-For: 192.0.2.%d\r\n" % number))
            for number in range(30)
        ]
        return {int(answer[9:12]) for answer in answers}

    with HttpTalk(tmp_path, http_requests_per_second=5.0) as talk:
        assert 429 in talk.run(attack(talk))


def test_what_arrives_of_bodies_is_bounded_and_the_oldest_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAXIMUM_KEPT_OF_ONE_BYTES", 200_000)

    async def attack(talk: HttpTalk) -> bytes:
        begun = [await connected(talk) for _ in range(10)]
        for _, writer in begun:
            writer.write(SET + b"Content-Length: 100000\r\n\r\n" + b" " * 60_000)
            await writer.drain()
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            answer = await begun[0][0].read(65_536)
        assert (await answered(talk, command(1))).startswith(b"HTTP/1.1 200 ")
        for _, writer in begun:
            writer.close()
        return answer

    with HttpTalk(tmp_path) as talk:
        answer = talk.run(attack(talk))

    assert answer.startswith(b"HTTP/1.1 429 "), answer
    assert b"too many bodies" in answer


def test_a_body_that_nobody_wants_does_not_keep_its_connection(shared: HttpTalk) -> None:
    async def attack() -> None:
        reader, writer = await connected(shared)
        writer.write(b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n")
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            while not reader.at_eof():
                writer.write(b"a")
                try:
                    async with asyncio.timeout(0.1):
                        await reader.read(65_536)
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
        writer.close()

    shared.run(attack())


def test_an_answer_that_nobody_reads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(sending, "BYTES_FOR_A_SECOND", 10_000_000)

    async def attack(talk: HttpTalk) -> None:
        http = talk.service.http
        assert http is not None
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            _, writer = await connected(talk)
            writer.write((b"GET /api/v1/app_state HTTP/1.1\r\n" + HOST + b"\r\n") * 20)
            await until(lambda: http.crowd.count == 1)
            await until(lambda: http.crowd.count == 0)
            writer.close()
            monkeypatch.setattr(sending, "SEND_SECONDS", COMES_WITHIN_SECONDS)
            # A client that reads gets the whole answer.
            assert len(await answered(talk, get("/api/v1/app_state"))) > 600_000

    with HttpTalk(tmp_path) as talk:
        for number in range(10):
            talk.command("app_state.set", {"key": f"k{number}", "value": "x" * 60_000})
        talk.run(attack(talk))


def test_what_waits_for_slow_readers_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MAXIMUM_WAITING_BYTES", 2_000_000)

    async def attack(talk: HttpTalk) -> None:
        http = talk.service.http
        assert http is not None
        slow = [await connected(talk) for _ in range(12)]
        await until(lambda: http.crowd.count == len(slow))
        for _, writer in slow:
            writer.write((b"GET /api/v1/app_state HTTP/1.1\r\n" + HOST + b"\r\n") * 10)
        # Two or three of 600 kB may wait.
        await until(lambda: http.crowd.count <= 3)

        async def is_answered_whole() -> bool:
            # While the slow readers go on to their next answers, this one may be the oldest, and be given up.
            with suppress(ConnectionError):
                return len(await answered(talk, get("/api/v1/app_state"))) > 600_000
            return False

        await until(is_answered_whole)
        for _, writer in slow:
            writer.close()

    with HttpTalk(tmp_path) as talk:
        for number in range(10):
            talk.command("app_state.set", {"key": f"k{number}", "value": "x" * 60_000})
        talk.run(attack(talk))


def test_one_token_does_not_take_all_streams_of_events(tmp_path: Path) -> None:
    allowed = 8
    secrets = [TokenFile(tmp_path).create(name, "read")[1] for name in ("one", "two", "three")]

    def follow(secret: str) -> bytes:
        return (
            b"GET /api/v1/events HTTP/1.1\r\n" + HOST + b"Authorization: Bearer %s\r\n\r\n" % secret.encode()
        )

    async def begun(talk: HttpTalk, secret: str, count: int, host: str) -> list[int]:
        statuses = []
        for _ in range(count):
            reader, writer = await connected(talk, host)
            open_ones.append(writer)
            writer.write(follow(secret))
            statuses.append(int((await reader.readexactly(12))[9:]))
        return statuses

    async def attack(talk: HttpTalk) -> None:
        http = talk.service.http
        assert http is not None
        # A token has the same limit from all addresses.
        assert sorted(await begun(talk, secrets[0], 3 * allowed, "127.0.0.1"))[:5] == [200] * 4 + [429]
        assert await begun(talk, secrets[0], 1, "127.0.0.2") == [429]
        assert (await begun(talk, secrets[1], allowed, "127.0.0.1")).count(200) == 4
        # Two tokens hold all streams; a third one gets some of theirs.
        assert http.event_streams.taken == allowed
        assert await begun(talk, secrets[2], 3, "127.0.0.1") == [200, 200, 429]
        assert http.event_streams.taken == allowed
        for writer in open_ones:
            writer.close()
        await until(lambda: http.event_streams.taken == 0)

    open_ones: list[asyncio.StreamWriter] = []
    with HttpTalk(tmp_path, http_event_streams=allowed) as talk:
        talk.run(attack(talk))

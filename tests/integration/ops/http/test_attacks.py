"""Attacks on the HTTP port are refused, and the service goes on meanwhile.

The tests send bytes on sockets: a client library would not send most of them.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ops.http.access.tokens import TokenFile
from ops.http.connections import protocol
from ops.http.layers import bodies
from ops.http.layers.bodies import MAXIMUM_BODY_BYTES
from ops.http.layers.throttle import ALLOWED_GUESSES, SECONDS_FOR_A_GUESS
from ops.settings import Settings
from tests.support.patience import COMES_WITHIN_SECONDS, patiently, until
from tests.support.services.asking import HttpTalk
from tests.support.services.sockets import HOST, JSON, SET, Streams, answered, connected


def status_of(answer: bytes) -> int:
    """The status of a response; 0 where the connection was only cut."""
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@asynccontextmanager
async def many(talk: HttpTalk, count: int, first: bytes) -> AsyncIterator[list[Streams]]:
    """That many connections, on each of which this was sent."""
    connections = [await connected(talk) for _ in range(count)]
    try:
        for _, writer in connections:
            writer.write(first)
        yield connections
    finally:
        for _, writer in connections:
            writer.close()


async def seconds_for_a_command(talk: HttpTalk) -> float:
    """How long a command takes that comes over HTTP, on a connection of its own."""
    began = time.perf_counter()
    body = b'{"key":"alive","value":%d}' % time.perf_counter_ns()
    answer = await answered(talk, SET + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert status_of(answer) == 200, answer
    return time.perf_counter() - began


def figures(seconds: list[float]) -> str:
    """The median and the slowest, for people."""
    return f"{statistics.median(seconds) * 1000:.0f} ms, at most {max(seconds) * 1000:.0f} ms"


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/console/../../../../etc/passwd",
        "/console/static/../../../../etc/passwd",
        "/console/static/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/console/static/%2e%2e/%2e%2e/tokens.json",
        "/console/static/%252e%252e%252f%252e%252e%252ftokens.json",
        "/console/static/..%c0%af..%c0%aftokens.json",
        "/console/static/..%5c..%5ctokens.json",
        "/console/static//etc/passwd",
        "/console/static/%2fetc%2fpasswd",
        "/console/static/console.css%00.html",
        "/api/v1/backups/..%2f..%2ftokens.json/verify",
        "/api/v1/backups/%252e%252e%252ftokens.json/verify",
        "/api/v1/app_state/..%2f..%2ftokens.json",
        "/api/v1/app_state/%2fetc%2fpasswd",
        "/api/v1/app_state/%252e%252e",
        "/api/v1/jobs/a%00b/history",
        "//evil.example/%2f..",
        "/%2e%2e%2f%2e%2e%2fhyperpage.db",
        "/hyperpage.db",
        "/tokens.json",
    ],
)
def test_no_path_leads_to_a_file(shared: HttpTalk, path: str) -> None:
    for method in ("GET", "POST"):
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        answer = shared.run(answered(shared, request))

        assert status_of(answer) in (400, 404, 405), answer
        assert b"root:" not in answer
        # No path leads to another site, either.
        assert b"\r\nlocation:" not in answer.lower()


@pytest.mark.parametrize(
    "request_bytes",
    [
        # A second header, or a second answer, in parts of the request that the answer repeats.
        b"GET /api/v1/app_state?limit=1&prefix=a%0d%0aX-Injected:%20yes HTTP/1.1\r\n" + HOST,
        b"GET /api/v1/app_state/a%0d%0aX-Injected:%20yes HTTP/1.1\r\n" + HOST,
        b"GET /api/v1/jobs?after=%0d%0a%0d%0aHTTP/1.1%20200%20OK HTTP/1.1\r\n" + HOST,
        b"GET /console?x=%0d%0aX-Injected:%20yes HTTP/1.1\r\n" + HOST,
        b"GET /session HTTP/1.1\r\n" + HOST + b"Cookie: hyperpage_session=a%0d%0aX-Injected: yes\r\n",
    ],
)
def test_nothing_of_a_request_becomes_a_header_of_its_answer(shared: HttpTalk, request_bytes: bytes) -> None:
    for number in range(3):
        shared.ask("PUT", f"/api/v1/app_state/a{number}", json={"value": 1})

    answer = shared.run(answered(shared, request_bytes + b"Connection: close\r\n\r\n"))

    head, _, _ = answer.partition(b"\r\n\r\n")
    assert b"x-injected" not in [line.partition(b":")[0].lower() for line in head.split(b"\r\n")], answer
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"Idempotency-Key: a\nX-Injected: yes\r\n",
        b"Idempotency-Key: a\x00b\r\n",
        b"Idempotency-Key: a\x1bb\r\n",
        b"Hyperpage-Actor: a\r\n folded\r\n",
        b"Hyper page: a\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        b"Transfer-Encoding:\r\n\tchunked\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 1e3\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Host: evil.example\r\n",
        b": nothing\r\n",
    ],
)
def test_a_head_that_others_may_read_in_another_way_is_refused(shared: HttpTalk, head: bytes) -> None:
    smuggled = b"0\r\n\r\nPOST /api/v1/app_state/set HTTP/1.1\r\n" + HOST + JSON
    smuggled += b'Content-Length: 29\r\n\r\n{"key":"smuggled","value":1} '
    answer = shared.run(answered(shared, SET + head + b"Connection: close\r\n\r\n" + smuggled))

    # The codes 415 and 200 would show that a second request was read from it.
    assert status_of(answer) in (400, 421, 501), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert shared.get("/api/v1/app_state/smuggled").status_code == 404


@pytest.mark.parametrize(
    "rest",
    [
        b"no size\r\n",
        b"1;extension\r\nx\r\n",
        b"0\r\nTrailer: a\r\n b\r\n\r\n",
        b"1\r\n" + b"x" * 99_999,
    ],
)
def test_a_body_that_goes_wrong_behind_its_answer_gets_no_second_one(shared: HttpTalk, rest: bytes) -> None:
    async def scene() -> bytes:
        reader, writer = await connected(shared)
        # The answer does not wait for the body.
        writer.write(b"GET /livez HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        async with asyncio.timeout(COMES_WITHIN_SECONDS):
            answer = await reader.readuntil(b"}")
            writer.write(rest)
            answer += await end_of(reader)
        writer.close()
        return answer

    answer = shared.run(scene())

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 20_000 + b"\r\n", 431),
        (b"G" * 100_000, 431),
        (SET + b"Content-Length: 1048577\r\n\r\n", 413),
        (SET + b"Content-Length: 99999999999999999999\r\n\r\n", 413),
        (SET + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"a" * 65_536 + b"\r\n", 413),
        (SET + b"Content-Length: 60000\r\n\r\n" + b"[" * 60_000, 400),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_there(shared: HttpTalk, what: bytes, status: int) -> None:
    if b"chunked" in what:
        head, _, chunk = what.partition(b"\r\n\r\n")
        what = head + b"\r\n\r\n" + chunk * (MAXIMUM_BODY_BYTES // 65_536 + 2)

    answer = shared.run(answered(shared, what.replace(HOST, HOST + b"Connection: close\r\n", 1)))

    # If the connection is closed while more of the request arrives, the answer may be lost.
    assert status_of(answer) in (status, 0), answer
    assert shared.run(seconds_for_a_command(shared)) < patiently(1.0)


def test_requests_that_never_end_are_ended_and_hold_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough that other requests survive a moment at which the machine stands still.
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 8.0)
    monkeypatch.setattr(bodies, "BODY_SECONDS", 8.0)
    slow_heads, slow_bodies = 120, 80

    async def dribble(connections: list[Streams]) -> None:
        while True:
            for _, writer in connections:
                if not writer.is_closing():
                    writer.write(b"a")
            await asyncio.sleep(0.25)

    async def attack(talk: HttpTalk) -> tuple[list[int], list[float]]:
        head = b"GET /livez HTTP/1.1\r\n" + HOST + b"X-Slow: "
        body = SET + b"Content-Length: 1000000\r\n\r\n{"
        async with many(talk, slow_heads, head) as heads, many(talk, slow_bodies, body) as begun:
            # One slow head and one slow body send nothing more, so they get the answer.
            dribbling = asyncio.create_task(dribble([*heads[1:], *begun[1:]]))
            waited = [await seconds_for_a_command(talk) for _ in range(20)]
            async with asyncio.timeout(COMES_WITHIN_SECONDS):
                ended = [status_of(await end_of(reader)) for reader, _ in (*heads, *begun)]
            dribbling.cancel()
        return ended, waited

    with HttpTalk(tmp_path) as talk:
        ended, waited = talk.run(attack(talk))
        print(f"commands beside {slow_heads + slow_bodies} slow requests: {figures(waited)}")

        # The answer is lost if a byte arrives after the service has stopped reading.
        assert set(ended) <= {408, 0}
        assert (ended[0], ended[slow_heads]) == (408, 408)
        # The slowest may have met a moment at which the whole machine stood still.
        assert statistics.median(waited) < patiently(0.5)


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """All that comes until a connection ends, in whatever way."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65_536):
            answer += part
    return answer


def test_who_only_holds_connections_makes_room_for_others(shared: HttpTalk) -> None:
    async def attack() -> float:
        async with many(shared, Settings().http_connections_of_one_address + 100, b""):
            return statistics.median([await seconds_for_a_command(shared) for _ in range(10)])

    assert shared.run(attack()) < patiently(0.5)


def test_a_flood_of_readers_is_refused_and_commands_go_on(tmp_path: Path) -> None:
    allowed, flood = 64, 400

    async def attack(talk: HttpTalk) -> tuple[list[int], list[float]]:
        path = b"GET /api/v1/events?after=0 HTTP/1.1\r\n" + HOST + b"\r\n"
        async with many(talk, flood, path) as connections:
            async with asyncio.timeout(COMES_WITHIN_SECONDS):
                begun = [status_of(await reader.read(64)) for reader, _ in connections]
            # No reader goes on reading.
            waited = [await seconds_for_a_command(talk) for _ in range(20)]
        return begun, waited

    with HttpTalk(tmp_path, http_event_streams=allowed) as talk:
        began, waited = talk.run(attack(talk))
        print(f"commands beside {allowed} readers of {flood}: {figures(waited)}")

        assert sorted(began) == [200] * allowed + [429] * (flood - allowed)
        # The slowest may have met a moment at which the whole machine stood still.
        assert statistics.median(waited) < patiently(0.5)
        assert talk.service.http is not None
        streams = talk.service.http.event_streams
        talk.run(until(lambda: streams.taken == 0))


def test_guessing_tokens_is_slowed_down_to_nothing(tmp_path: Path) -> None:
    requests = [
        b"GET /session HTTP/1.1\r\n" + HOST + b"Authorization: Bearer hpt_%d\r\n\r\n" % number
        for number in range(300)
    ]
    last = b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    with HttpTalk(tmp_path) as talk:
        _, secret = TokenFile(talk.data).create("known", "read")
        good = {"Authorization": f"Bearer {secret}"}
        assert talk.get("/session", headers=good).status_code == 200

        began = time.monotonic()
        answers = talk.run(answered(talk, b"".join(requests) + last))
        seconds = time.monotonic() - began

        # A known client does not wait because another one guesses.
        assert talk.get("/session", headers=good).status_code == 200
    statuses = [int(line[:3]) for line in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses.pop() == 200
    # Each further guess takes some seconds.
    looked_at = statuses.count(401)
    assert ALLOWED_GUESSES <= looked_at <= ALLOWED_GUESSES + 1 + seconds // SECONDS_FOR_A_GUESS
    assert statuses.count(429) == 300 - looked_at


def test_a_client_that_asks_too_often_is_told_to_wait(tmp_path: Path) -> None:
    with HttpTalk(tmp_path, http_requests_per_second=2.0) as talk:
        request = b"GET /api/v1/jobs HTTP/1.1\r\n" + HOST + b"\r\n"
        last = b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        answers = talk.run(answered(talk, request * 300 + last))
        statuses = [int(line[:3]) for line in answers.split(b"HTTP/1.1 ")[1:]]

        assert set(statuses) == {200, 429}
        assert statuses[:4] == [200] * 4
        assert b"retry-after: 1" in answers.lower()
        # Requests for the service's health are answered all the same.
        health = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET /readyz HTTP/1.1\r\n" + HOST + b"\r\n"
        answers = talk.run(answered(talk, request * 50 + health * 100 + last))
        assert [int(line[:3]) for line in answers.split(b"HTTP/1.1 ")[1:]][-200:] == [200] * 200

"""What a command waits for longer while the events are followed over HTTP.

    python -m tests.benchmarks.event_followers [--rate 5000] [--readers 50] [--path tail|events]
                                               [--seconds 10] [--rounds 3] [--json]

Commands come at a fixed rate, whatever becomes of those before them, each with one event. A round is one
stretch without readers and one with them, on the same service; each figure is the median of the rounds. The
client that sends and the readers are processes of their own, on the machine that they measure.

`tail` is what people watch: few pieces a second, the rest counted. `events` leaves nothing out, and so sends
as many events as there are, to each of the readers. What a reader had (of the tail, also what it was told
that there was) is told beside what was committed.
"""

import argparse
import asyncio
import json
import multiprocessing
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.benchmarks.core.checkout import Checkout, Served, service_on
from tests.benchmarks.core.figures import percentile
from tests.benchmarks.core.processes import cpu_seconds

SUBJECT = "hyperpage.cmd.v1.app_state.set"
KEYS = 5_000
PATHS = {"tail": "/console/tail/stream", "events": "/api/v1/events"}
_SEEN = re.compile(rb'"seen":(\d+)[,}]')


class Measured(NamedTuple):
    """One stretch: answered commands per second, latencies in milliseconds, and what the service took.

    `processor_percent` is of one processor. Unlike the times, it says the same on a machine that others use.
    """

    rate: float
    p50: float
    p99: float
    processor_percent: float


class Sender:
    """Sends commands by the clock, and not by the answers."""

    def __init__(self, client: Client, process_id: int) -> None:
        self._client = client
        self._process_id = process_id
        self._inbox = client.new_inbox()
        self._number = 0
        self._sent: dict[str, float] = {}
        self._latencies: list[float] = []
        self.errors = 0

    async def start(self) -> None:
        """Listens for answers."""
        await self._client.subscribe(
            f"{self._inbox}.*", cb=self._answered, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def measure(self, rate: int, seconds: float) -> Measured:
        """Measures one stretch; a command that could not be sent in time counts from when it was due."""
        self._latencies = []
        processor_seconds = cpu_seconds(self._process_id)
        began = time.perf_counter()
        sent = 0
        while (elapsed := time.perf_counter() - began) < seconds:
            while sent < elapsed * rate:
                await self._send(due_at=began + sent / rate)
                sent += 1
            await asyncio.sleep(0.001)
        async with asyncio.timeout(60):
            await self._all_answered()
        took = time.perf_counter() - began
        return Measured(
            len(self._latencies) / took,
            percentile(self._latencies, 50) * 1000,
            percentile(self._latencies, 99) * 1000,
            100 * (cpu_seconds(self._process_id) - processor_seconds) / took,
        )

    async def _all_answered(self) -> None:
        while self._sent:  # noqa: ASYNC110  # an event would be one more thing to do for each answer
            await asyncio.sleep(0.001)

    async def _send(self, *, due_at: float) -> None:
        self._number += 1
        token = str(self._number)
        self._sent[token] = due_at
        body = b'{"key":"k%d","value":%d}' % (self._number % KEYS, self._number)
        await self._client.publish(SUBJECT, body, reply=f"{self._inbox}.{token}")

    async def _answered(self, message: Msg) -> None:
        self._latencies.append(time.perf_counter() - self._sent.pop(message.subject.rpartition(".")[2]))
        self.errors += bool(message.headers)


class Reader(asyncio.Protocol):
    """A follower that only counts what it reads."""

    def __init__(self, host: str, path: str) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._rest = b""
        self.size_bytes = self.frames = self.events = self.seen = 0
        self.is_open = False

    def connection_made(self, transport: Any) -> None:
        self.is_open = True
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.size_bytes += len(data)
        # The text that is looked for may lie across two reads; it is never longer than this.
        data = self._rest + data
        whole, self._rest = data[:-64], data[-64:]
        self._count(whole)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False

    def finish(self) -> dict[str, Any]:
        """The counts of all that was read."""
        self._count(self._rest)
        self._rest = b""
        return {name: getattr(self, name) for name in ("size_bytes", "frames", "events", "seen", "is_open")}

    def _count(self, data: bytes) -> None:
        self.frames += data.count(b"\ndata: ")
        self.events += data.count(b'"specversion"')
        self.seen = max([self.seen, *map(int, _SEEN.findall(data))])


def follow(url: str, path: str, count: int, orders: Connection) -> None:
    """The process of the readers: it runs until an order comes, and then sends what they have read."""
    asyncio.run(_follow(url, path, count, orders))


async def _follow(url: str, path: str, count: int, orders: Connection) -> None:
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    for _ in range(count):
        _, reader = await loop.create_connection(
            lambda: Reader(address.netloc, path), address.hostname or "", address.port or 0
        )
        readers.append(reader)
    while any(reader.size_bytes == 0 for reader in readers):  # noqa: ASYNC110  # it is soon
        await asyncio.sleep(0.01)
    orders.send("there")
    await asyncio.to_thread(orders.recv)
    orders.send([reader.finish() for reader in readers])


@contextmanager
def _readers(url: str, path: str, count: int) -> Iterator[Connection]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=follow, args=(url, path, count, theirs))
    process.start()
    try:
        assert ours.recv() == "there"
        yield ours
    finally:
        process.terminate()
        process.join()


async def _measure(service: Served, options: argparse.Namespace) -> dict[str, Any]:
    client = await nats.connect(service.url)
    sender = Sender(client, service.processes["service"][0])
    await sender.start()
    await sender.measure(options.rate, 2.0)
    alone: list[Measured] = []
    followed: list[Measured] = []
    read: list[dict[str, Any]] = []
    for _ in range(options.rounds):
        alone.append(await sender.measure(options.rate, options.seconds))
        readers = _readers(service.http_url or "", PATHS[options.path], options.readers)
        with readers as orders:
            followed.append(await sender.measure(options.rate, options.seconds))
            # The readers still get the last events.
            await asyncio.sleep(1.0)
            orders.send("enough")
            read += await asyncio.to_thread(orders.recv)
    await client.close()
    committed = round(followed[-1].rate * options.seconds)
    return {
        "path": PATHS[options.path],
        "readers": options.readers,
        "alone": _median(alone),
        "followed": _median(followed),
        "p99_grows_by_percent": round(100 * (_median(followed)["p99"] / _median(alone)["p99"] - 1), 1),
        "refused": sender.errors,
        "committed_in_a_stretch": committed,
        "a_reader_had": {
            name: [min(one[name] for one in read), max(one[name] for one in read)]
            for name in ("events", "seen", "frames", "size_bytes")
        },
        "cut_off": sum(not one["is_open"] for one in read),
    }


def _median(stretches: list[Measured]) -> dict[str, float]:
    return {
        name: round(statistics.median(getattr(one, name) for one in stretches), 2)
        for name in Measured._fields
    }


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--path", choices=PATHS, default="tail")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    asked = ("--http", "127.0.0.1:0", "--http-open")
    with (
        tempfile.TemporaryDirectory() as folder,
        service_on(Checkout.here(), Path(folder) / "data", asked) as service,
    ):
        result = asyncio.run(_measure(service, options))
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:24} {value}")


if __name__ == "__main__":
    main()

"""Commands per second, end to end, beside a responder that does nothing, in the same run.

    python -m tests.benchmarks.throughput [--in-flight 1 16 64 256 1024] [--client request|lean] [--rounds 3]
                                          [--seconds 2] [--ids] [--json]

One client keeps so many requests in flight against (a) a responder that answers at once, on a nats-server
of its own, and (b) the service, with its embedded nats-server and its relay running. Each figure is the
median of the rounds, in which the two take turns. The ratio travels between machines; the rates do not.

The client shares the machine with what it measures. `request` is nats-py's own call, as services use it;
`lean` publishes with a reply subject of its own under one subscription, at half the cost, and so is the
stricter measure of the two.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus.broker.server import find_nats_server
from bus.identifiers import new_id
from ops.store.data_directory import read_runtime
from tests.support.repository import ROOT

START_SECONDS = 20.0
IDLE_SUBJECT = "idle"
BODY = json.dumps(
    {"type": "sync", "name": "Sync a repository", "priority": 3, "payload": {"repository": "acme/site"}}
).encode()


class Measured(NamedTuple):
    """One round: requests per second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


class Load(ABC):
    """Keeps requests in flight on one subject; `client` and `with_ids` as the options of the same name."""

    def __init__(self, client: Client, subject: str, *, with_ids: bool) -> None:
        self._client = client
        self._subject = subject
        self._with_ids = with_ids
        self._latencies: list[float] = []
        self.errors = 0

    async def start(self) -> None:  # noqa: B027  # not every client has to prepare
        """Makes ready to measure."""

    async def measure(self, in_flight: int, seconds: float) -> Measured:
        """One round."""
        self._latencies = []
        started = time.perf_counter()
        await asyncio.wait_for(self._run(in_flight, started + seconds), seconds + 30)
        took = time.perf_counter() - started
        ordered = sorted(self._latencies)
        return Measured(
            len(ordered) / took,
            ordered[len(ordered) // 2] * 1000,
            ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000,
        )

    @abstractmethod
    async def _run(self, in_flight: int, until: float) -> None:
        """Sends until that time; returns when all is answered."""

    def _headers(self) -> dict[str, str] | None:
        return {"Hyperpage-Command-Id": new_id()} if self._with_ids else None

    def _take(self, message: Msg, sent_at: float) -> None:
        self._latencies.append(time.perf_counter() - sent_at)
        if message.headers:
            self.errors += 1


class RequestLoad(Load):
    """Each of so many tasks asks, waits for the answer, and asks again."""

    async def _run(self, in_flight: int, until: float) -> None:
        await asyncio.gather(*(self._ask(until) for _ in range(in_flight)))

    async def _ask(self, until: float) -> None:
        while (now := time.perf_counter()) < until:
            answer = await self._client.request(self._subject, BODY, timeout=30, headers=self._headers())
            self._take(answer, now)


class LeanLoad(Load):
    """Each answer sends the next request, without a task or a future."""

    async def start(self) -> None:
        self._inbox = self._client.new_inbox()
        self._number = 0
        self._sent: dict[str, float] = {}
        await self._client.subscribe(
            f"{self._inbox}.*", cb=self._answered, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def _run(self, in_flight: int, until: float) -> None:
        self._done = asyncio.get_running_loop().create_future()
        self._until = until
        for _ in range(in_flight):
            await self._send()
        await self._done

    async def _send(self) -> None:
        self._number += 1
        token = str(self._number)
        self._sent[token] = time.perf_counter()
        await self._client.publish(
            self._subject, BODY, reply=f"{self._inbox}.{token}", headers=self._headers()
        )

    async def _answered(self, message: Msg) -> None:
        self._take(message, self._sent.pop(message.subject.rpartition(".")[2]))
        if time.perf_counter() < self._until:
            await self._send()
        elif not self._sent and not self._done.done():
            self._done.set_result(None)


LOADS: dict[str, type[Load]] = {"request": RequestLoad, "lean": LeanLoad}


@contextmanager
def _process(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(condition: object, what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not start within {START_SECONDS:g} s")
        time.sleep(0.02)


@contextmanager
def _idle_responder(folder: Path) -> Iterator[str]:
    ports = folder / "ports"
    ports.mkdir()
    server = [str(find_nats_server()), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(ports)]
    with _process(server, stderr=subprocess.DEVNULL):
        _wait_for(lambda: any(path.read_text().strip() for path in ports.glob("*.ports")), "nats-server")
        described = json.loads(next(ports.glob("*.ports")).read_text())
        url = described["nats"][0]
        with _process([sys.executable, "-m", "tests.benchmarks.idle_responder", url, IDLE_SUBJECT]):
            yield url


@contextmanager
def service_on(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "ops.cli", "serve", "--data", str(folder), "--nats-port", "0"]
    with _process(command, env=os.environ | {"HYPERPAGE_LOG_LEVEL": "ERROR"}):
        _wait_for(lambda: read_runtime(folder) is not None, "the service")
        runtime = read_runtime(folder)
        assert runtime is not None
        yield runtime.nats_url


async def _measure(
    idle_url: str,
    service_url: str,
    make_load: type[Load],
    levels: list[int],
    rounds: int,
    seconds: float,
    with_ids: bool,
) -> list[dict[str, object]]:
    idle_client = await nats.connect(idle_url)
    service_client = await nats.connect(service_url)
    idle = make_load(idle_client, IDLE_SUBJECT, with_ids=with_ids)
    service = make_load(service_client, "hyperpage.cmd.v1.jobs.enqueue", with_ids=with_ids)
    await idle.start()
    await service.start()
    for load in (idle, service):
        await load.measure(64, 1.0)
    results: list[dict[str, object]] = []
    for in_flight in levels:
        pairs = [
            (await idle.measure(in_flight, seconds), await service.measure(in_flight, seconds))
            for _ in range(rounds)
        ]
        medians = [
            Measured(*(statistics.median(values) for values in zip(*side, strict=True)))
            for side in zip(*pairs, strict=True)
        ]
        results.append(
            {
                "in_flight": in_flight,
                "idle": medians[0]._asdict(),
                "service": medians[1]._asdict(),
                "ratio": statistics.median(ours.rate / theirs.rate for theirs, ours in pairs),
            }
        )
    if service.errors:
        raise RuntimeError(f"{service.errors} commands were refused")
    await idle_client.close()
    await service_client.close()
    return results


def _table(results: list[dict[str, object]]) -> str:
    lines = ["in flight |      idle/s   p50 ms   p99 ms |   service/s   p50 ms   p99 ms | ratio"]
    for one in results:
        cells = [f"{one['in_flight']:>9}"]
        for side in ("idle", "service"):
            rate, p50, p99 = one[side].values()  # type: ignore[attr-defined]
            cells.append(f"{rate:>11,.0f} {p50:>8.2f} {p99:>8.2f}")
        lines.append(" | ".join([*cells, f"{one['ratio']:.2f}"]))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 16, 64, 256, 1024])
    parser.add_argument("--client", choices=LOADS, default="request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--ids", action="store_true", help="give every command an id of its own")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hyperpage-benchmark-")))
        (folder / "idle").mkdir()
        idle_url = stack.enter_context(_idle_responder(folder / "idle"))
        service_url = stack.enter_context(service_on(folder / "service"))
        results = asyncio.run(
            _measure(
                idle_url,
                service_url,
                LOADS[arguments.client],
                arguments.in_flight,
                arguments.rounds,
                arguments.seconds,
                arguments.ids,
            )
        )
    print(json.dumps(results, indent=2) if arguments.json else _table(results))


if __name__ == "__main__":
    main()

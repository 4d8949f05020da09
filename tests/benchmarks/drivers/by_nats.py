"""A driver that speaks NATS by nats-py: `… by_nats URL KIND [--client stock|lean] [--ids …] [--subject …]`.

`stock` is nats-py's own `request`, as services use it. `lean` publishes with a reply subject of its own under
one subscription, and each answer sends the next request: about the least that a client in Python can take,
so that the server is measured rather than the client. `--subject` sends the same to another server that is
to be measured.
"""

import argparse
import asyncio
import time
from collections.abc import Callable

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from hyperpage_client.contract.headers import ERROR_CODE
from tests.benchmarks.drivers.contents import Content, Headers, batch_of_known_jobs, content
from tests.benchmarks.drivers.rounds import Run, by_tasks, serve

ANSWER_SECONDS = 60.0


def is_refused(answer: Msg) -> bool:
    """True if an answer is a refusal; other answers may have headers, too."""
    return answer.headers is not None and ERROR_CODE in answer.headers


def by_requests(client: Client, subject: str, make: Callable[[], tuple[bytes, Headers]]) -> Run:
    """Tasks that use nats-py's `request`."""

    async def ask() -> None:
        body, headers = make()
        answer = await client.request(subject, body, timeout=ANSWER_SECONDS, headers=headers)
        if is_refused(answer):
            raise RuntimeError(answer.data.decode())

    return by_tasks(ask)


class LeanClient:
    """Requests without a task, a future or a timer for each."""

    def __init__(self, client: Client, subject: str, make: Callable[[], tuple[bytes, Headers]]) -> None:
        self._client = client
        self._subject = subject
        self._make = make
        self._inbox = client.new_inbox()
        self._number = 0
        self._sent: dict[str, float] = {}
        self._latencies: list[float] = []
        self._until = 0.0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        await self._client.subscribe(
            f"{self._inbox}.*", cb=self._answered, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def run(self, in_flight: int, until: float) -> list[float]:
        self._until = until
        self._latencies = []
        self._done = asyncio.get_running_loop().create_future()
        for _ in range(in_flight):
            await self._send()
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._done
        return self._latencies

    async def _send(self) -> None:
        self._number += 1
        token = str(self._number)
        body, headers = self._make()
        self._sent[token] = time.perf_counter()
        await self._client.publish(self._subject, body, reply=f"{self._inbox}.{token}", headers=headers)

    async def _answered(self, message: Msg) -> None:
        now = time.perf_counter()
        self._latencies.append(now - self._sent.pop(message.subject.rpartition(".")[2]))
        if is_refused(message) and not self._done.done():
            self._done.set_exception(RuntimeError(message.data.decode()))
        elif now < self._until:
            await self._send()
        elif not self._sent and not self._done.done():
            self._done.set_result(None)


async def drive(url: str, asked: Content, subject: str, lean: bool, stream: str | None) -> None:
    client = await nats.connect(url)
    if stream is not None:
        await client.jetstream().add_stream(name=stream, subjects=[subject])
    if subject.endswith("jobs.get"):
        answer = await client.request("hyperpage.cmd.v1.batch", batch_of_known_jobs(), timeout=ANSWER_SECONDS)
        assert not answer.headers, answer.data
    run = by_requests(client, subject, asked.make)
    if lean:
        client_of_ours = LeanClient(client, subject, asked.make)
        await client_of_ours.start()
        run = client_of_ours.run
    await serve(run, weight=asked.weight)
    await client.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("kind")
    parser.add_argument("--client", choices=["stock", "lean"], default="stock")
    parser.add_argument("--ids", choices=["none", "random", "ordered"], default="none")
    parser.add_argument("--subject")
    parser.add_argument("--stream")
    options = parser.parse_args()
    asked = content(options.kind, options.ids)
    subject = options.subject or asked.subject
    asyncio.run(drive(options.url, asked, subject, options.client == "lean", options.stream))


if __name__ == "__main__":
    main()

"""A driver that sends by the clock, without waiting for answers: `… open_loop URL KIND [--ids …]`.

Orders come by lines of JSON: `{"stretches": [[RATE, SECONDS], …]}`, one stretch behind the other without a
pause, each with so many requests a second; with `"durable": COUNT`, so many durable commands are stored
before. What became of each stretch is told then: when each request was due since its stretch began, and how
long after that it was answered, in seconds, apart for those that were accepted and those that were `busy`. A
request counts from when it was due, so that a client that is late hides nothing; it is given up when it was
not answered so long after the last one.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hyperpage_client.transport.connecting import connect
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.sending import RawMessage
from tests.benchmarks.drivers.contents import content
from tests.benchmarks.drivers.rounds import say

ANSWER_SECONDS = 30.0
# The event loop would not wake up more precisely.
TICK_SECONDS = 0.001
DURABLE = "hyperpage.dcmd.v1.jobs.enqueue"
CODE, BUSY = "Nats-Service-Error-Code", "429"


class OpenLoop:
    """Requests of one kind over one connection."""

    def __init__(self, client: LeanClient, kind: str, ids: str) -> None:
        self._client = client
        self._content = content(kind, ids)
        self._inbox = client.new_inbox()
        # By number of the request: when it was answered, and whether the answer was `busy`.
        self._answers: dict[int, tuple[float, bool]] = {}
        self._failure: str | None = None

    async def start(self) -> None:
        """Listens for answers."""
        await self._client.subscribe_direct(f"{self._inbox}.*", handler=self._answered)
        await self._client.flush()

    async def store(self, count: int) -> None:
        """Leaves so many durable commands to be done."""
        body, _ = content("durable", "none").make()
        for begin in range(0, count, 500):
            await self._client.publish_many([(DURABLE, "", body, None)] * min(500, count - begin))
        await self._client.flush(timeout=60)

    async def run(self, stretches: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
        """The answers of each stretch: when requests were due, and how long their answers took.

        Raises:
            RuntimeError: a request was refused for another reason than that too many came.
        """
        self._answers = {}
        due_at: list[list[float]] = []
        sent, until = 0, time.perf_counter()
        for rate, seconds in stretches:
            began, until = until, until + seconds
            due_at.append([began + number / rate for number in range(int(rate * seconds))])
            await self._send(due_at[-1], first=sent)
            sent += len(due_at[-1])
        give_up = time.perf_counter() + ANSWER_SECONDS
        # An `asyncio.Event` would be one more thing to do for each answer.
        while len(self._answers) < sent and time.perf_counter() < give_up:  # noqa: ASYNC110
            await asyncio.sleep(TICK_SECONDS)
        if self._failure is not None:
            raise RuntimeError(self._failure)
        firsts = [sum(map(len, due_at[:number])) for number in range(len(due_at))]
        return [self._told(due, first) for due, first in zip(due_at, firsts, strict=True)]

    async def _send(self, due_at: list[float], *, first: int) -> None:
        number = 0
        while number < len(due_at):
            now = time.perf_counter()
            messages: list[RawMessage] = []
            while number < len(due_at) and due_at[number] <= now:
                body, headers = self._content.make()
                messages.append((self._content.subject, f"{self._inbox}.{first + number}", body, headers))
                number += 1
            await self._client.publish_many(messages)
            await asyncio.sleep(TICK_SECONDS)

    def _answered(self, subject: str, _reply: str, headers: Mapping[str, str] | None, body: bytes) -> None:
        code = headers.get(CODE) if headers else None
        if code not in (None, BUSY):
            self._failure = body.decode()
        self._answers[int(subject.rpartition(".")[2])] = time.perf_counter(), code == BUSY

    def _told(self, due_at: list[float], first: int) -> dict[str, Any]:
        found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for number, due in enumerate(due_at):
            if (answer := self._answers.get(first + number)) is not None:
                at, is_busy = answer
                found[is_busy].append((due - due_at[0], at - due))
        return {"sent": len(due_at), "accepted": found[False], "busy": found[True]}


async def drive(url: str, kind: str, ids: str) -> None:
    client = await connect(url, inbox_prefix="_INBOX", within_seconds=10)
    load = OpenLoop(client, kind, ids)
    await load.start()
    say({"ready": True})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        await load.store(order.get("durable", 0))
        try:
            say({"stretches": await load.run(order["stretches"])})
        except RuntimeError as error:
            say({"refused": str(error)})
    await client.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("kind")
    parser.add_argument("--ids", choices=["none", "random", "ordered"], default="none")
    options = parser.parse_args()
    asyncio.run(drive(options.url, options.kind, options.ids))


if __name__ == "__main__":
    main()

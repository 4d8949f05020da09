"""Commands at a steady rate, independent of their answers: `PacedLoad`.

And many commands of which only a few wait at a time: `few_at_once`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from tests.support.services.raw_nats import Message, RawNats

# The event loop would not wake up more precisely.
TICK_SECONDS = 0.001
KEYS = 500
# Fewer than even a slow service lets wait. On a machine that is too slow for the rate, more would only make
# it slower.
MOST_WAITING = 250
# So few that the service accepts them all beside its other work: some of a burst might be refused as `busy`.
FEW = 50

Answer = TypeVar("Answer")


async def few_at_once(asking: Iterable[Callable[[], Awaitable[Answer]]]) -> list[Answer]:
    """The answers of all calls, in order; only `FEW` of them wait at a time."""
    room = asyncio.Semaphore(FEW)

    async def asked(ask: Callable[[], Awaitable[Answer]]) -> Answer:
        async with room:
            return await ask()

    return await asyncio.gather(*map(asked, asking))


class Answered(NamedTuple):
    """An accepted command. `seconds` count from when it was to be sent, so a late client hides nothing."""

    number: int
    command_id: str
    answer: bytes
    sent_at: float
    """As `time.perf_counter` has it."""
    seconds: float


class PacedLoad:
    """Sends `rate` commands a second of two kinds, each with an id of its own, until it is stopped.

    It falls behind while `MOST_WAITING` of them have no answer; `Answered.seconds` includes that delay.
    """

    def __init__(self, client: RawNats, rate: int) -> None:
        self._client = client
        self._rate = rate
        self._stopped = False
        self._waiting: set[asyncio.Future[Message]] = set()
        self.answered: list[Answered] = []
        """In the order in which the answers came."""
        self.refused: list[bytes] = []

    async def run(self) -> None:
        """Sends the commands; returns when the last answer has come."""
        began, sent = time.perf_counter(), 0
        while not self._stopped:
            due = int((time.perf_counter() - began) * self._rate)
            due = min(due, sent + MOST_WAITING - len(self._waiting))
            for number in range(sent, due):
                self._send(number, began + number / self._rate)
            sent = max(sent, due)
            await asyncio.sleep(TICK_SECONDS)
        while self._waiting:
            await asyncio.wait(set(self._waiting))

    def stop(self) -> None:
        self._stopped = True

    def _send(self, number: int, due_at: float) -> None:
        future = command(self._client, number)
        self._waiting.add(future)

        def take(answer: asyncio.Future[Message]) -> None:
            self._waiting.discard(answer)
            if answer.cancelled() or answer.exception() is not None:
                return
            message = answer.result()
            if message.code is not None:
                self.refused.append(message.body)
                return
            took = time.perf_counter() - due_at
            self.answered.append(Answered(number, command_id(number), message.body, due_at, took))

        future.add_done_callback(take)


def command_id(number: int) -> str:
    return f"command-{number:09d}"


def command(client: RawNats, number: int) -> "asyncio.Future[Message]":
    """Sends the command of that number: the same one, whenever it is sent."""
    name, body = _command(number)
    return client.ask(f"hyperpage.cmd.v1.{name}", body, {"Hyperpage-Command-Id": command_id(number)})


def _command(number: int) -> tuple[str, dict[str, Any]]:
    if number % 2:
        return "app_state.set", {"key": f"key-{number % KEYS}", "value": {"number": number}}
    return "jobs.enqueue", {"type": "sync", "name": f"Number {number}", "payload": {"number": number}}

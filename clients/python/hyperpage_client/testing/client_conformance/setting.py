"""The setting of a case: a service, a wire to it, the client under test, and a client that looks on."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hyperpage_client.client import Client
from hyperpage_client.contract.subjects import TIMELINE_STREAM
from hyperpage_client.tasks import cancel
from hyperpage_client.testing.client_conformance.adapter import Adapter, AdapterError, Reply
from hyperpage_client.testing.client_conformance.bench import Bench
from hyperpage_client.testing.client_conformance.expecting import NotAsExpected, until
from hyperpage_client.testing.client_conformance.wire import Wire

T = TypeVar("T")

# How long the client under test may take to answer, unless a case says something else.
ANSWER_MS = 20_000
# If it has not answered by that much later, it hangs.
GRACE_SECONDS = 20.0


class Follower:
    """A subscription or a worker of the client under test; `next` is the next message that it sends."""

    def __init__(self, adapter: Adapter, number: int) -> None:
        self.number = number
        self._adapter = adapter

    async def next(self, kind: str, *, within_seconds: float = GRACE_SECONDS) -> Any:
        """The next message, which has to be of a `kind`.

        A follower sends `event`, or `error` at its end; a worker sends `began` and `stopped`.

        Raises:
            NotAsExpected: none came, or one of another kind.
        """
        try:
            async with asyncio.timeout(within_seconds):
                told = await self._adapter.told(self.number).get()
        except TimeoutError:
            raise NotAsExpected(f"the next {kind}", expected="one", came="none") from None
        if kind not in told:
            raise NotAsExpected(f"the next {kind}", expected="one", came=told)
        return told[kind]

    async def event_of(self, *keys: str, within_seconds: float = GRACE_SECONDS) -> dict[str, Any]:
        """The next event of the state under one of these keys, or of a restore; others are passed over.

        Raises:
            NotAsExpected: none came, or the follower ended.
        """
        subjects = {TIMELINE_STREAM, *(f"app_state/{key}" for key in keys)}
        clock = asyncio.get_running_loop().time
        end = clock() + within_seconds
        while True:
            event: dict[str, Any] = await self.next("event", within_seconds=end - clock())
            if event["subject"] in subjects:
                return event


class Driven:
    """One client under test, with its connection."""

    def __init__(self, adapter: Adapter, number: int) -> None:
        self._adapter = adapter
        self._number = number

    async def does(self, what: str, /, **said: Any) -> Reply:
        """The reply of the adapter to an instruction."""
        line = {"do": what, "on": self._number, "timeout_ms": ANSWER_MS, **said}
        seconds = GRACE_SECONDS + line["timeout_ms"] / 1000
        return await self._adapter.ask(line, within_seconds=seconds)

    async def command(self, command: str, body: Mapping[str, Any], **about: Any) -> dict[str, Any]:
        """The answer to a command.

        Raises:
            NotAsExpected: it was refused, or not answered.
        """
        answer: dict[str, Any] = await self.ok("command", command=command, body=body, **about)
        return answer

    async def query(self, query: str, body: Mapping[str, Any], **about: Any) -> Any:
        """The answer to a query.

        Raises:
            NotAsExpected: it was refused, or not answered.
        """
        return await self.ok("query", query=query, body=body, **about)

    async def ok(self, what: str, /, **said: Any) -> Any:
        """The answer to an instruction.

        Raises:
            NotAsExpected: it ended with an error.
        """
        reply = await self.does(what, **said)
        if reply.error is not None:
            raise NotAsExpected(f"the answer to {_named(what, said)}", expected="an answer", came=reply.error)
        return reply.ok

    async def refused(self, what: str, /, **said: Any) -> dict[str, Any]:
        """The error that an instruction ends with.

        Raises:
            NotAsExpected: it ended without one.
        """
        reply = await self.does(what, **said)
        if reply.error is None:
            raise NotAsExpected(f"the error of {_named(what, said)}", expected="an error", came=reply.ok)
        return reply.error

    async def begins(self, what: str, /, **said: Any) -> Follower:
        """A subscription or a worker that begins now; the case ends it, or the end of the case.

        Raises:
            NotAsExpected: it does not begin.
        """
        line = {"do": what, "on": self._number, **said}
        number = self._adapter.tell(line)
        reply = await self._adapter.reply(number, line, within_seconds=GRACE_SECONDS)
        if reply.error is not None:
            raise NotAsExpected(f"the beginning of {what}", expected="that it begins", came=reply.error)
        return Follower(self._adapter, number)

    async def stop(self, follower: Follower) -> Any:
        """Ends a subscription or a worker."""
        return await self.ok("stop", begun=follower.number)


class Setting:
    """The setting of one case; `close` ends all that the case has begun."""

    def __init__(self, adapter: Adapter, bench: Bench) -> None:
        self.wire = Wire(lambda: bench.service.url)
        self.has_killed = False
        self._adapter = adapter
        self._bench = bench
        self._begins = secrets.token_hex(4)
        self._connections: list[int] = []
        self._begun: set[asyncio.Task[Any]] = set()

    async def look(self) -> Client:
        """A client that looks at what has happened; its messages do not go over the wire under test."""
        return await self._bench.look()

    def key(self, ending: str = "one") -> str:
        """A key, an id or a queue that no other case has."""
        return f"case-{self._begins}-{ending}"

    async def connect(self, **said: Any) -> Driven:
        """A client under test, over the wire.

        Raises:
            NotAsExpected: it does not connect.
        """
        line = {"do": "connect", "url": self.wire.url, "timeout_ms": ANSWER_MS, **said}
        number = self._adapter.tell(line)
        seconds = GRACE_SECONDS + line["timeout_ms"] / 1000
        reply = await self._adapter.reply(number, line, within_seconds=seconds)
        if reply.error is not None:
            raise NotAsExpected("the connection", expected="one", came=reply.error)
        self._connections.append(number)
        return Driven(self._adapter, number)

    async def connects_in_vain(self, **said: Any) -> dict[str, Any]:
        """The error of a client under test that cannot connect.

        Raises:
            NotAsExpected: it connects.
        """
        line = {"do": "connect", "timeout_ms": ANSWER_MS, **said}
        reply = await self._adapter.ask(line, within_seconds=GRACE_SECONDS)
        if reply.error is None:
            raise NotAsExpected("the connection", expected="none", came="one")
        return reply.error

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that runs beside the case, and ends with it."""
        task = asyncio.get_running_loop().create_task(work)
        self._begun.add(task)
        return task

    async def until(self, what: str, look: Callable[[], Any]) -> Any:
        """The first result of `look` that is true; where the result is awaitable, what that gives.

        Raises:
            NotAsExpected: there is none in time.
        """
        return await until(what, look, within_seconds=GRACE_SECONDS)

    async def kill_and_start(self, between: Callable[[], None] = lambda: None) -> None:
        """Kills the service with `kill -9`, and starts it, once in a case; `between` is called meanwhile.

        Raises:
            NoServiceError: it did not start.
        """
        self.has_killed = True
        await self._bench.kill_and_start(between)

    async def back_up(self) -> None:
        """Has the service make a backup of its store."""
        await self._bench.command("backup", "create")

    async def restore(self, position: int) -> None:
        """Restores the service to a position, which its backup reaches."""
        await self._bench.command("backup", "restore", "--to-position", str(position), "--yes")

    async def user_of_its_own(self, *rights: str) -> Path:
        """The file with the seed of a new user's key; the user has these rights alone."""
        seed = self._bench.service.data.parent / f"{self.key()}.nk"
        await self._bench.command("user", "create", self.key(), "--out", str(seed), *rights)
        return seed

    async def close(self) -> None:
        """Ends the tasks beside the case, the connections that it made, and the wire."""
        await asyncio.gather(*map(cancel, self._begun))
        try:
            for number in self._connections:
                line = {"do": "close", "on": number}
                await self._adapter.ask(line, within_seconds=GRACE_SECONDS)
        except AdapterError:
            # The adapter has ended; this case or the next one says so.
            return
        finally:
            await self.wire.close()


def _named(what: str, said: Mapping[str, Any]) -> str:
    return " ".join([what, *(str(said[name]) for name in ("command", "query") if name in said)])

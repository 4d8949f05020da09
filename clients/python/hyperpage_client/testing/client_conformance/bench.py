"""A service that cases are tried on, and a client that looks at it: `Bench`."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from hyperpage_client.client import Client
from hyperpage_client.opening import connect
from hyperpage_client.tasks import to_its_end
from hyperpage_client.testing.client_conformance.wire import Wire
from hyperpage_client.testing.service import OwnService

OPTIONS = ("--nats-port", "0", "--no-http")


class Bench:
    """One service, started when the first case asks for it; `stack` ends it.

    Cases that need the service killed wait for each other: it is killed once for all of them. `to_come` is
    how many of these cases have not asked yet.
    """

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.service = OwnService(folder, OPTIONS)
        self.to_come = 0
        self._stack = stack
        self._starting = asyncio.Lock()
        self._look: Client | None = None
        self._between: list[Callable[[], None]] = []
        self._killing = asyncio.Condition()
        self._kills = 0

    async def started(self) -> OwnService:
        """The running service.

        Raises:
            NoServiceError: there is no service to start, or it did not start.
        """
        async with self._starting:
            if not self.service.url:
                self._stack.push_async_callback(to_its_end, self.service.stop)
                await to_its_end(self.service.start)
        return self.service

    async def command(self, *arguments: str) -> str:
        """The output of a command of the command line about the service.

        Raises:
            NoServiceError: the command failed.
        """
        return await to_its_end(lambda: self.service.command(*arguments))

    async def look(self) -> Client:
        """A client that looks at the service, also after restarts: over a wire, since the port changes."""
        async with self._starting:
            if self._look is None:
                wire = Wire(lambda: self.service.url)
                await wire.open()
                self._stack.push_async_callback(wire.close)
                self._look = await self._stack.enter_async_context(connect(wire.url))
        return self._look

    async def kill_and_start(self, between: Callable[[], None]) -> None:
        """Kills the service with `kill -9`, and starts it again; `between` is called while it is away.

        Raises:
            NoServiceError: it did not start.
        """
        async with self._killing:
            kills = self._kills
            self._between.append(between)
            self.to_come -= 1
            self._killing.notify_all()
            await self._killing.wait_for(lambda: self._kills > kills or self.to_come <= 0)
            if self._kills > kills:
                return
            await to_its_end(self.service.kill)
            for one in self._between:
                one()
            self._between.clear()
            await to_its_end(self.service.start)
            self._kills += 1
            self._killing.notify_all()

    async def no_kill(self) -> None:
        """Notes that a case has ended before it asked for the kill."""
        async with self._killing:
            self.to_come -= 1
            self._killing.notify_all()

"""The service behind the HTTP server, while there is one: between two of them the store is restored."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bus.audit import Act, Actor, write_to_log
from bus.submission import Outcome
from domain.errors import Unavailable

if TYPE_CHECKING:
    from ops.service import Service

# What is under way ends in this time; whatever takes longer is told that it was cut off.
DETACH_SECONDS = 5.0


class Backend:
    """What requests reach of the service. Used from the event loop's thread only."""

    def __init__(self) -> None:
        self._service: Service | None = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._changed = asyncio.Condition()
        self.leaving = asyncio.Event()
        """Set while the service takes nothing more; whoever follows it ends then."""

    def attach(self, service: "Service") -> None:
        """Serves what this service has, from now on."""
        self._service = service
        self.leaving.clear()

    async def detach(self) -> None:
        """Takes nothing more for the service; returns when what is under way is answered."""
        self._service = None
        self.leaving.set()
        try:
            async with asyncio.timeout(DETACH_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            pass

    @property
    def service(self) -> "Service":
        """The service.

        Raises:
            Unavailable: there is none at the moment.
        """
        if self._service is None:
            raise Unavailable("the service is starting, restoring or shutting down", retry_after_ms=1_000)
        return self._service

    @contextmanager
    def in_use(self) -> "Iterator[Service]":
        """The service for the length of the block, which it outlives.

        Raises:
            Unavailable: there is none at the moment.
        """
        service = self.service
        self._under_way += 1
        self._idle.clear()
        try:
            yield service
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self._idle.set()

    def record(self, act: Act) -> None:
        """Has an administrative act stand in the log; with a service, whoever listens hears of it."""
        if self._service is None:
            write_to_log(act)
        else:
            self._service.record(act)

    async def command(self, name: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """The answer to a command, after its commit is on disk; `headers` as on the bus.

        Raises:
            Refusal: it was not carried out.
        """
        with self.in_use() as service:
            outcome: Outcome = await service.intake.carry_out(name, body, headers)
        if outcome.refusal is not None:
            raise outcome.refusal
        return outcome.body

    async def query(self, name: str, body: bytes) -> bytes:
        """The answer to a query.

        Raises:
            Refusal: there is none.
        """
        with self.in_use() as service:
            return await service.queries.ask(name, body)

    async def administer(self, name: str, body: bytes, actor: Actor) -> Any:
        """The answer to an administrative request.

        Raises:
            Refusal: it was not carried out.
        """
        with self.in_use() as service:
            return await service.administration.carry_out(name, body, actor)

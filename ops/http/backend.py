"""The service behind the HTTP server, while there is one: between two of them the store is restored."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from bus.serving.audit import Act, Actor, write_to_log
from bus.writing.submission import Outcome
from domain.errors import Unavailable
from ops.http.following.event_feed import EventFeed
from ops.http.following.tails import Tails

if TYPE_CHECKING:
    from ops.service.composition import Service

# What is under way ends in this time; whatever takes longer is told that it was cut off.
DETACH_SECONDS = 5.0


class Backend:
    """What requests reach of the service. Used from the event loop's thread only."""

    def __init__(self) -> None:
        self._service: Service | None = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._attached = asyncio.Event()
        self._feed: EventFeed | None = None
        self._tails: Tails | None = None

    def attach(self, service: "Service") -> None:
        """Serves what this service has, from now on."""
        self._service = service
        self._feed = EventFeed(service.readers.connection, service.origin, service.writer.head.position)
        self._tails = Tails(self._feed, service.readers.connection)
        self._attached.set()

    def close(self) -> None:
        """Says that no service comes any more: nobody is to wait for one."""
        self._attached.set()

    async def detach(self) -> None:
        """Takes nothing more for the service; returns when what is under way is answered."""
        self._service = None
        self._attached.clear()
        if self._feed is not None:
            self._feed.close()
            self._feed = self._tails = None
        with suppress(TimeoutError):
            async with asyncio.timeout(DETACH_SECONDS):
                await self._idle.wait()

    @property
    def service(self) -> "Service":
        """The service.

        Raises:
            Unavailable: there is none at the moment.
        """
        if self._service is None:
            raise _nobody()
        return self._service

    @property
    def feed(self) -> EventFeed:
        """The events of the service.

        Raises:
            Unavailable: there is none at the moment.
        """
        if self._feed is None:
            raise _nobody()
        return self._feed

    @property
    def tails(self) -> Tails:
        """What is watched of the service's log.

        Raises:
            Unavailable: there is none at the moment.
        """
        if self._tails is None:
            raise _nobody()
        return self._tails

    async def attached_within(self, seconds: float) -> None:
        """Returns when there is a service, or it was too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._attached.wait()

    def committed(self, head: int) -> None:
        """Says how far the log of the service goes now."""
        if self._feed is not None:
            self._feed.notify(head)

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


def _nobody() -> Unavailable:
    return Unavailable("the service is starting, restoring or shutting down", retry_after_ms=1_000)

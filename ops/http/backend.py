"""The service behind the HTTP server, while there is one: between two of them the store is restored."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from bus.contract.rights import UNKNOWN_PRINCIPAL, Principal
from bus.serving.audit import Act, Actor, write_to_log
from bus.serving.queries.reading import Reading
from bus.writing.submission import Outcome
from domain.errors import Unavailable
from hyperpage_client.contract.log_place import LogPlace
from ops.health.monitor import Monitor
from ops.http.following.event_feed import EventFeed
from ops.http.following.tails import Tails
from ops.metrics.collector import Metrics
from ops.parts import Parts

# How long requests under way may take to end; later ones are told that they were cut off.
DETACH_SECONDS = 5.0


class Attached(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A service, as requests reach it: its parts, its health and figures, its events, and views of them."""

    parts: Parts
    health: Monitor
    metrics: Metrics
    feed: EventFeed
    tails: Tails


class Backend:
    """The running service, while there is one. Used from the event loop's thread only."""

    def __init__(self) -> None:
        self._attached: Attached | None = None
        self._comes = asyncio.Event()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def attach(self, parts: Parts, health: Monitor, metrics: Metrics) -> None:
        """Serves what this service has, from now on."""
        feed = EventFeed(parts.readers.connection, parts.origin, parts.role.head.position)
        self._attached = Attached(
            parts=parts,
            health=health,
            metrics=metrics,
            feed=feed,
            tails=Tails(feed, parts.readers.connection),
        )
        self._comes.set()

    def close(self) -> None:
        """Ends all waiting for a service: none comes any more."""
        self._comes.set()

    async def detach(self) -> None:
        """Takes no more requests for the service; returns when those under way are answered."""
        attached, self._attached = self._attached, None
        self._comes.clear()
        if attached is not None:
            attached.feed.close()
            attached.parts.queries.end_waits()
        with suppress(TimeoutError):
            async with asyncio.timeout(DETACH_SECONDS):
                await self._idle.wait()

    @property
    def now(self) -> Attached:
        """The service that is there now.

        Raises:
            Unavailable: there is none.
        """
        if self._attached is None:
            raise Unavailable("the service is starting, restoring or shutting down", retry_after_ms=1_000)
        return self._attached

    async def attached_within(self, seconds: float) -> None:
        """Returns when there is a service, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._comes.wait()

    def committed(self, head: int) -> None:
        """Takes in how far the service's log goes now."""
        if self._attached is not None:
            self._attached.feed.notify(head)

    @contextmanager
    def in_use(self) -> Iterator[Parts]:
        """The parts of the service for the length of the block, which they outlive.

        Raises:
            Unavailable: there is none at the moment.
        """
        parts = self.now.parts
        self._under_way += 1
        self._idle.clear()
        try:
            yield parts
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self._idle.set()

    def record(self, act: Act) -> None:
        """Writes an administrative act to the log; a running service tells its listeners, too."""
        if self._attached is None:
            write_to_log(act)
        else:
            self._attached.parts.record(act)

    async def command(
        self, name: str, body: bytes, headers: Mapping[str, str], principal: Principal
    ) -> bytes:
        """The answer to a command of a principal, after its commit is on disk; `headers` as on the bus.

        Raises:
            Refusal: it was not carried out.
        """
        with self.in_use() as parts:
            leading = parts.role.require_leading()
            outcome: Outcome = await leading.intake.carry_out(name, body, headers, principal)
        if outcome.refusal is not None:
            raise outcome.refusal
        return outcome.body

    async def read(
        self,
        name: str,
        body: bytes,
        principal: Principal,
        *,
        least: LogPlace | None = None,
        for_leader: bool = False,
    ) -> Reading:
        """What a query of a principal leads to, where the log is at a place, or behind it.

        With `for_leader`, only from a service that leads.

        Raises:
            Refusal: nothing was read.
        """
        with self.in_use() as parts:
            if for_leader:
                parts.role.require_leading()
            return await parts.queries.ask(name, body, principal, least=least, for_leader=for_leader)

    async def query(self, name: str, body: bytes) -> bytes:
        """The answer to a query of the service's own.

        Raises:
            Refusal: there is none.
        """
        reading = await self.read(name, body, UNKNOWN_PRINCIPAL)
        if reading.refusal is not None:
            raise reading.refusal
        return reading.body

    async def administer(self, name: str, body: bytes, actor: Actor) -> Any:
        """The answer to an administrative request.

        Raises:
            Refusal: it was not carried out.
        """
        with self.in_use() as parts:
            return await parts.administration.carry_out(name, body, actor)

    async def look(self, name: str, body: bytes) -> Any:
        """The answer to an administrative request that does nothing, off the record.

        Raises:
            Refusal: there is none.
        """
        with self.in_use() as parts:
            return await parts.administration.look(name, body)

"""The service behind the HTTP server. There is none while the store is restored, between two services."""

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

# How long `detach` waits for requests under way.
DETACH_SECONDS = 5.0


class Attached(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The objects of a service that requests use: parts, health, metrics, events, and live views of them."""

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
        """Serves this service from now on."""
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
        """Ends all waits for a service: no further one comes."""
        self._comes.set()

    async def detach(self) -> None:
        """Takes no more requests for the service; returns when those under way are answered, or after 5 s."""
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
        """The service that runs now.

        Raises:
            Unavailable: no service runs.
        """
        if self._attached is None:
            raise Unavailable("the service is starting, restoring or shutting down", retry_after_ms=1_000)
        return self._attached

    async def attached_within(self, seconds: float) -> None:
        """Returns when a service runs, `close` was called, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._comes.wait()

    def committed(self, head: int) -> None:
        """Tells followers the new head of the service's log."""
        if self._attached is not None:
            self._attached.feed.notify(head)

    @contextmanager
    def in_use(self) -> Iterator[Parts]:
        """The parts of the service. They stay open in the block: `detach` waits for its end, but 5 s at most.

        Raises:
            Unavailable: no service runs at the moment.
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
        """Writes an administrative act to the program's log; a running service also tells its listeners."""
        if self._attached is None:
            write_to_log(act)
        else:
            self._attached.parts.record(act)

    async def command(
        self, name: str, body: bytes, headers: Mapping[str, str], principal: Principal
    ) -> bytes:
        """The answer to a command of a principal, after its commit is on disk; `headers` as on the bus.

        Raises:
            Refusal: the command was not carried out.
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
        """The result of a principal's query, from a log that has reached the place `least`.

        With `for_leader`, only a service that leads answers.

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
            Refusal: the query was refused.
        """
        reading = await self.read(name, body, UNKNOWN_PRINCIPAL)
        if reading.refusal is not None:
            raise reading.refusal
        return reading.body

    async def administer(self, name: str, body: bytes, actor: Actor) -> Any:
        """The answer to an administrative request.

        Raises:
            Refusal: the request was not carried out.
        """
        with self.in_use() as parts:
            return await parts.administration.carry_out(name, body, actor)

    async def look(self, name: str, body: bytes) -> Any:
        """The answer to an administrative request that changes nothing; it is not recorded.

        Raises:
            Refusal: the request was refused.
        """
        with self.in_use() as parts:
            return await parts.administration.look(name, body)

"""Tries cases: those that share a service several at once, those that kill theirs one after the other."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from hyperpage_client.asking.connection import ClosedError, Unreachable
from hyperpage_client.client import Client
from hyperpage_client.errors import Refusal
from hyperpage_client.opening import connect
from hyperpage_client.tasks import cancel, to_its_end
from hyperpage_client.testing.client_conformance.adapter import Adapter, AdapterError
from hyperpage_client.testing.client_conformance.case import Case
from hyperpage_client.testing.client_conformance.expecting import NotAsExpected
from hyperpage_client.testing.client_conformance.setting import Setting
from hyperpage_client.testing.client_conformance.wire import Wire
from hyperpage_client.testing.service import NoServiceError, OwnService

# No case takes as long; only one that hangs does.
CASE_SECONDS = 120.0
OPTIONS = ("--nats-port", "0", "--no-http")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a case: of `what`, one thing was `expected`, and another `came`; or what it `lacks`."""

    case: Case
    status: Literal["passed", "failed", "missing"]
    seconds: float = 0.0
    what: str = ""
    expected: Any = None
    came: Any = None
    lacks: tuple[str, ...] = ()


class Bench:
    """A service that cases are tried on, and a client that looks at it; started when the first one asks."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.service = OwnService(folder, OPTIONS)
        self._stack = stack
        self._starting = asyncio.Lock()
        self._look: Client | None = None

    async def started(self) -> OwnService:
        """The service, which runs.

        Raises:
            NoServiceError: there is none to start, or it did not start.
        """
        async with self._starting:
            if not self.service.url:
                self._stack.push_async_callback(to_its_end, self.service.stop)
                await to_its_end(self.service.start)
        return self.service

    async def look(self) -> Client:
        """A client that looks at it, through its restarts: over a wire, since the port changes."""
        async with self._starting:
            if self._look is None:
                wire = Wire(lambda: self.service.url)
                await wire.open()
                self._stack.push_async_callback(wire.close)
                self._look = await self._stack.enter_async_context(connect(wire.url))
        return self._look


class Trial:
    """Cases, tried with one adapter."""

    def __init__(self, command: Sequence[str], benches: tuple[Bench, Bench], *, at_once: int) -> None:
        self.client = ""
        self._command = command
        self._shared, self._own = benches
        self._adapter: Adapter | None = None
        self._starting = asyncio.Lock()
        self._room = asyncio.Semaphore(at_once)
        # One after the other: each takes the service away from all others.
        self._own_room = asyncio.Semaphore(1)

    async def adapter(self) -> Adapter:
        """The adapter, which runs; another one where the last has ended.

        Raises:
            AdapterError: it does not start.
        """
        async with self._starting:
            if self._adapter is None or self._adapter.has_ended:
                await self.stop()
                self._adapter = await Adapter.start(self._command)
                self.client = self._adapter.client
        return self._adapter

    async def stop(self) -> None:
        """Ends the adapter."""
        if self._adapter is not None:
            await self._adapter.stop()

    async def outcomes(self, cases: Sequence[Case]) -> AsyncIterator[Outcome]:
        """What came of each, in their order.

        Raises:
            AdapterError: the adapter does not start.
            NoServiceError: there is no service to start, or it did not start.
        """
        tasks = [asyncio.create_task(self._outcome(case)) for case in cases]
        try:
            for task in tasks:
                yield await task
        finally:
            await asyncio.gather(*map(cancel, tasks))

    async def _outcome(self, case: Case) -> Outcome:
        adapter = await self.adapter()
        lacks = tuple(part for part in case.needs if part not in adapter.parts)
        if lacks:
            return Outcome(case=case, status="missing", lacks=lacks)
        bench, room = (self._own, self._own_room) if case.own_service else (self._shared, self._room)
        async with room:
            service = await bench.started()
            at = Setting(await self.adapter(), service, bench.look)
            began = time.monotonic()
            failed = await _failure(case, at)
            seconds = round(time.monotonic() - began, 3)
        if failed is None:
            return Outcome(case=case, status="passed", seconds=seconds)
        return Outcome(
            case=case,
            status="failed",
            seconds=seconds,
            what=failed.what,
            expected=failed.expected,
            came=failed.came,
        )


async def _failure(case: Case, at: Setting) -> NotAsExpected | None:
    """What went otherwise than it should."""
    await at.wire.open()
    try:
        async with asyncio.timeout(CASE_SECONDS):
            await case.run(at)
    except NotAsExpected as error:
        return error
    except (KeyError, IndexError, TypeError, ValueError) as error:
        return NotAsExpected("the shape of an answer", expected="that of the protocol", came=repr(error))
    except (AdapterError, TimeoutError) as error:
        return NotAsExpected(
            "the adapter", expected="that it answers", came=str(error) or "nothing, for too long"
        )
    except (Refusal, Unreachable, ClosedError, NoServiceError) as error:
        return NotAsExpected("the service", expected="that it serves", came=str(error))
    finally:
        await at.close()
    return None


@asynccontextmanager
async def trial(command: Sequence[str], folder: Path, *, at_once: int) -> AsyncIterator[Trial]:
    """A trial with an adapter that is called so, and services below a folder."""
    async with AsyncExitStack() as stack:
        benches = []
        for name in ("shared", "own"):
            place = folder / name
            place.mkdir()
            benches.append(Bench(place, stack))
        made = Trial(command, (benches[0], benches[1]), at_once=at_once)
        stack.push_async_callback(made.stop)
        yield made

"""Runs cases, several at once: on a service that they share, or on one that is killed and restored."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from hyperpage_client.asking.connection import ClosedError, Unreachable
from hyperpage_client.errors import Refusal
from hyperpage_client.tasks import cancel
from hyperpage_client.testing.client_conformance.adapter import Adapter, AdapterError
from hyperpage_client.testing.client_conformance.bench import Bench
from hyperpage_client.testing.client_conformance.case import Case
from hyperpage_client.testing.client_conformance.expecting import NotAsExpected
from hyperpage_client.testing.client_conformance.setting import Setting
from hyperpage_client.testing.service import NoServiceError

# Only a case that hangs takes as long.
CASE_SECONDS = 120.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a case: for `what`, one thing was `expected` and another `came`; or parts are missing.

    `lacks` are the parts that the case needs and the adapter does not have.
    """

    case: Case
    status: Literal["passed", "failed", "missing"]
    seconds: float = 0.0
    what: str = ""
    expected: Any = None
    came: Any = None
    lacks: tuple[str, ...] = ()


class Trial:
    """Runs cases with one adapter."""

    def __init__(self, command: Sequence[str], benches: tuple[Bench, Bench], *, at_once: int) -> None:
        self.client = ""
        self._command = command
        self._shared, self._own = benches
        self._adapter: Adapter | None = None
        self._starting = asyncio.Lock()
        self._room = asyncio.Semaphore(at_once)

    async def adapter(self) -> Adapter:
        """The running adapter; a new one if the last has ended.

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
        """The outcome of each case, in their order.

        Raises:
            AdapterError: the adapter does not start.
            NoServiceError: there is no service to start, or it did not start.
        """
        parts = (await self.adapter()).parts
        lacks = {case.name: tuple(part for part in case.needs if part not in parts) for case in cases}
        tasks = self._begun([case for case in cases if not lacks[case.name]])
        try:
            for case in cases:
                if lacks[case.name]:
                    yield Outcome(case=case, status="missing", lacks=lacks[case.name])
                else:
                    yield await tasks[case.name]
        finally:
            await asyncio.gather(*map(cancel, tasks.values()))

    def _begun(self, cases: Sequence[Case]) -> dict[str, asyncio.Task[Outcome]]:
        tasks: dict[str, asyncio.Task[Outcome]] = {}
        # A restore takes the service away from all other cases, so cases with one run last, one by one.
        apart: list[asyncio.Task[Outcome]] = []
        for case in sorted(cases, key=lambda case: case.service == "restored"):
            if case.service == "shared":
                tasks[case.name] = asyncio.create_task(self._shared_outcome(case))
                continue
            after = tuple(apart) if case.service == "restored" else ()
            tasks[case.name] = asyncio.create_task(self._own_outcome(case, after=after))
            apart.append(tasks[case.name])
        self._own.to_come = sum(1 for case in cases if case.service == "killed")
        return tasks

    async def _shared_outcome(self, case: Case) -> Outcome:
        async with self._room:
            return await self._outcome(case, self._shared)

    async def _own_outcome(self, case: Case, *, after: Sequence[asyncio.Task[Outcome]]) -> Outcome:
        if after:
            await asyncio.wait(after)
        return await self._outcome(case, self._own)

    async def _outcome(self, case: Case, bench: Bench) -> Outcome:
        await bench.started()
        at = Setting(await self.adapter(), bench)
        began = time.monotonic()
        try:
            failed = await _failure(case, at)
        finally:
            if case.service == "killed" and not at.has_killed:
                await bench.no_kill()
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
    """Runs a case; returns what was not as expected, or `None`."""
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
    """A trial with the adapter that `command` starts, and with services below a folder."""
    async with AsyncExitStack() as stack:
        benches = []
        for name in ("shared", "own"):
            place = folder / name
            place.mkdir()
            benches.append(Bench(place, stack))
        made = Trial(command, (benches[0], benches[1]), at_once=at_once)
        stack.push_async_callback(made.stop)
        yield made

"""A service that is watched from all sides, for tests that make something go wrong."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ops.store.data_directory import read_admin
from tests.support.http_clients import asynchronous_client
from tests.support.patience import patiently, until
from tests.support.services.asking import HttpTalk
from tests.support.services.command_line import hyperpage

# The promise to an operator: each surface shows a problem within this time.
SEEN_WITHIN_SECONDS = patiently(5.0)


class Watched(HttpTalk):
    """A service whose health a test reads on the bus, over HTTP and on the command line.

    Without `by_program`, the command line is asked only if the bus can't be: a process for each look takes
    longer than all else, and it shows the same as the bus.
    """

    def __init__(
        self,
        data: Path,
        *,
        clock: Callable[[], int] | None = None,
        by_program: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(
            data,
            clock=clock,
            **{"http_open": False, "disk_free_degraded_mib": 0, "disk_free_unhealthy_mib": 0, **settings},
        )
        self.surfaces: dict[str, Callable[[], Awaitable[Any]]] = {
            "bus": self._on_the_bus,
            "http": self._over_http,
            "command line": self._on_the_command_line,
        }
        self._by_program = by_program

    def sees(self, cause: str, *, level: str, bus: bool = True) -> str:
        """The reason that every surface gives for a cause, within 5 s from now.

        `bus` is false if the bus can't be asked.
        """
        reports = self.run(self._wait(lambda report: cause in _causes(report), bus))
        for name, report in reports.items():
            assert _causes(report)[cause]["level"] == level, (name, report)
            assert report["status"] in (level, "unhealthy"), (name, report)
        message: str = _causes(reports["http"])[cause]["message"]
        return message

    def sees_none(self, *causes: str) -> None:
        """Returns when no surface names these causes any more, within 5 s from now."""
        self.run(self._wait(lambda report: not _causes(report).keys() & set(causes), True))

    async def _wait(self, holds: Callable[[Any], bool], bus: bool) -> dict[str, Any]:
        deadline = time.monotonic() + SEEN_WITHIN_SECONDS
        seen: dict[str, Any] = {}
        left_out = "command line" if bus and not self._by_program else None if bus else "bus"
        asked = {name: ask for name, ask in self.surfaces.items() if name != left_out}
        while waiting := [name for name in asked if name not in seen]:
            # The last surface takes the longest, so it is asked once the others have shown the condition.
            for name in waiting[:-1] or waiting:
                report = await asked[name]()
                if holds(report):
                    seen[name] = report
                elif time.monotonic() > deadline:
                    raise TimeoutError(f"{name} does not tell: {report['reasons']}")
            # No signal tells when the condition is there.
            await asyncio.sleep(0.02)
        return seen

    async def _on_the_bus(self) -> Any:
        return (await self.client.query("service.status")).said

    async def _on_the_command_line(self) -> Any:
        result = await asyncio.to_thread(hyperpage, "status", "--json", "--data", self.data)
        assert result.code == (0 if result.json["status"] == "healthy" else 1), result
        return result.json

    async def _over_http(self) -> Any:
        admin = read_admin(self.data)
        assert admin is not None
        bearer = {"Authorization": f"Bearer {admin.http_secret}"}
        async with asynchronous_client(self.url) as client:
            response = await client.get("/readyz?verbose", headers=bearer)
        report = response.json()
        assert response.status_code == (503 if report["status"] == "unhealthy" else 200)
        return report


def _causes(report: Any) -> dict[str, Any]:
    return {one["cause"]: one for one in report["causes"]}


def eventually(talk: HttpTalk, condition: Callable[[], Any]) -> None:
    """Returns when the condition holds; the service works meanwhile."""
    talk.run(until(condition))


def number_of_letters(talk: HttpTalk, number: int) -> Callable[[], Any]:
    """A condition for `eventually`: there are exactly so many dead letters."""

    async def is_so() -> bool:
        return len((await talk.admin.request("hyperpage.adm.v1.dlq.list")).said["items"]) == number

    return is_so

"""A whole service and a client that shares no code with it, for tests that read from top to bottom.

Requests and answers pass through sockets and a real nats-server. The service runs while a test waits.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

from bus.log import chain
from ops.service.composition import Service
from ops.settings import Settings
from ops.store.data_directory import read_admin, read_runtime
from tests.support.clock import Clock
from tests.support.services.raw_nats import Message, RawNats
from tests.support.stores.looking_inside import log_of
from tests.support.stores.migrated import lay_out


class Talk:
    """A service on a folder, and an application that is connected to it. `with` ends both.

    Its store is copied from a template (`laid_out`), unless a test is about files that SQLite itself makes.
    """

    def __init__(
        self,
        data: Path,
        *,
        clock: Callable[[], int] | None = None,
        laid_out: bool = True,
        **settings: Any,
    ) -> None:
        self.data = data
        self.settings = Settings(data=data, nats_port=0, **{"no_http": True, **settings})
        self.clock = clock
        if laid_out and not self.settings.is_replicated:
            # The store of a member is made from the log of its cluster.
            lay_out(self.settings.store_path)
        self._runner = asyncio.Runner()
        self.run(self._start())

    def run(self, scenario: Coroutine[Any, Any, Any]) -> Any:
        """The result of a coroutine; the service works meanwhile."""
        return self._runner.run(scenario)

    def restart(self) -> None:
        """Stops the service, and starts another on the same folder."""
        self.run(self._stop())
        self.run(self._start())

    def stop(self) -> None:
        """Stops the service; `start` is the way back."""
        self.run(self._stop())

    def start(self) -> None:
        self.run(self._start())

    def close(self) -> None:
        if self.is_running:
            self.run(self._stop())
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def later(self, milliseconds: int) -> None:
        """Moves the clock that the service was given."""
        assert isinstance(self.clock, Clock)
        self.clock.now += milliseconds

    def command(self, name: str, body: Any = b"{}", **options: Any) -> Message:
        """The answer to a command; `id`, `expected` and `headers` as `RawNats.command` has them."""
        message: Message = self.run(self.client.command(name, body, **options))
        return message

    def batch(self, *commands: Any, atomic: bool = False, **headers: Any) -> Message:
        """The answer to a batch of commands, each an object as the contract has it."""
        return self.command("batch", {"atomic": atomic, "commands": list(commands)}, **headers)

    def query(self, name: str, body: Any = b"{}", headers: Any = None) -> Message:
        """The answer to a query."""
        message: Message = self.run(self.client.query(name, body, headers))
        return message

    def administer(self, name: str, body: Any = b"{}") -> Message:
        """The answer to an administrative request."""
        message: Message = self.run(self.admin.request(f"hyperpage.adm.v1.{name}", body))
        return message

    @property
    def status(self) -> Any:
        """The service's report on itself, asked for with a query."""
        return self.query("service.status").said

    @property
    def position(self) -> int:
        """The last position of the log, as the service reports it."""
        position: int = self.status["position"]
        return position

    @property
    def rows(self) -> list[chain.Row]:
        """The whole log, read from the file."""
        return log_of(self.settings.store_path)

    def service_anew(self) -> Service:
        """Another service on the same folder, which has not been started."""
        return Service(self.settings, clock=self.clock)

    async def _start(self) -> None:
        self.service = self.service_anew()
        await self.service.start()
        await self.connect()
        self.is_running = True

    async def connect(self) -> None:
        """Connects the application and the operator, at first and after a nats-server was killed."""
        runtime, admin = read_runtime(self.data), read_admin(self.data)
        assert runtime is not None
        assert admin is not None
        inbox_prefix = self.settings.inbox_prefix
        self.client = await RawNats.connect(runtime.nats_url, inbox_prefix=inbox_prefix)
        self.admin = await RawNats.connect(admin.nats_url, inbox_prefix=f"{admin.inbox_prefix}.")

    async def _stop(self) -> None:
        self.is_running = False
        await self.client.close()
        await self.admin.close()
        await self.service.stop()

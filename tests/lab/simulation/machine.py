"""A machine with a service that is started again whenever it ends, and the machine's faults."""

import asyncio
from functools import partial
from typing import Any

from tests.lab.simulation.disk import Disk, Disks
from tests.lab.simulation.scheduler import Process, Scheduler, SimulatedLoop, new_loop
from tests.lab.simulation.service import SimulatedService

# How long a stopping service has for the commands that it has accepted.
STOP_SECONDS = 10.0
# How soon it is started again, as by a supervisor.
AGAIN_SECONDS = (0.01, 0.3)


class Machine:
    """The machine. `service` is its last start, which may still run; `disk` is the disk of that."""

    def __init__(self, scheduler: Scheduler, disks: Disks, name: str, disk: Disk) -> None:
        self._scheduler = scheduler
        self._disks = disks
        self._name = name
        self.disk = disk
        self.starts = 0
        self.service: SimulatedService | None = None
        self._loop: SimulatedLoop | None = None
        self._ended = asyncio.Event()
        self._is_cut = False
        # The reasons why the last starts ended by themselves.
        self.reasons: list[str] = []
        # True while a service that ends is started again.
        self.is_kept_up = True

    async def run(self) -> None:
        """Starts it again and again, while it is kept up."""
        world = asyncio.get_running_loop()
        while self.is_kept_up:
            self.starts += 1
            self._ended = asyncio.Event()
            process = Process(f"{self._name}-{self.starts}")
            process.on_death.append(partial(world.call_soon, self._ended.set))
            self.service = SimulatedService(process, self.disk)
            self._loop = new_loop(self._scheduler, process, "main")
            task = self._loop.create_task(self._serve(self.service))
            task.add_done_callback(lambda _task: world.call_soon(self._ended.set))
            await self._ended.wait()
            if not process.is_dead:
                self._scheduler.kill(process)
            self.disk.is_gone = True
            what_is_left = self._disks.after_cut if self._is_cut else self._disks.after_kill
            self.disk, self._is_cut = what_is_left(self.disk), False
            await asyncio.sleep(self._scheduler.random.uniform(*AGAIN_SECONDS))

    async def _serve(self, service: SimulatedService) -> None:
        try:
            await service.start()
            await service.background.failure()
        except Exception as error:
            self.reasons.append(f"{type(error).__name__}: {error}")
            if "has taken over" in str(error):
                self.is_kept_up = False
        await self._stopped(service)

    async def _stopped(self, service: SimulatedService) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await service.stop()
        except Exception as error:
            self.reasons.append(f"at its end, {type(error).__name__}: {error}")

    async def serves(self) -> None:
        """Returns when the service serves, after any number of starts."""
        while self.service is None or not self.service.is_serving:  # noqa: ASYNC110  # of another thread
            await asyncio.sleep(0.05)

    @property
    def process(self) -> Process | None:
        """The process of the service, if it lives."""
        service = self.service
        return None if service is None or service.process.is_dead else service.process

    def kill(self) -> None:
        """`kill -9`: all that was written stays."""
        if self.process is not None:
            self._scheduler.kill(self.process)

    def cut(self) -> None:
        """A power cut: all that was synced stays."""
        if self.process is not None:
            self._is_cut = True
            self._scheduler.kill(self.process)

    def ask_to_stop(self) -> None:
        """Asks the service to stop, as SIGTERM does."""
        service, loop = self.service, self._loop
        if service is None or loop is None or not service.is_serving or self.process is None:
            return

        async def stop() -> None:
            await self._stopped(service)
            self._scheduler.kill(service.process)

        loop.call_soon(lambda: loop.create_task(stop()))

    async def end(self) -> Any:
        """Stops it for good."""
        self.is_kept_up = False
        self.ask_to_stop()
        await self._ended.wait()

"""One run: a service on a model of its world, clients, and faults, all of it from one seed."""

import asyncio
import gc
import random
import shutil
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ops.store.opening import open_store
from tests.lab.experiment import Broken
from tests.lab.simulation.broker import Broker
from tests.lab.simulation.determined import determined
from tests.lab.simulation.disk import Disks, disks
from tests.lab.simulation.faults import FAULTS, Fault
from tests.lab.simulation.jetstream import JetStream
from tests.lab.simulation.judging import judge
from tests.lab.simulation.load import Application, Subscriber, Told
from tests.lab.simulation.machine import Machine
from tests.lab.simulation.network import Network
from tests.lab.simulation.scheduler import Process, Scheduler, new_loop

# Without an operator, all must be well again within this time: a start may have to wait for another service,
# which is gone, and a client for the end of its own pause.
WELL_WITHIN_SECONDS = 40.0
TEMPLATE_SEED = 0


class Result(msgspec.Struct, frozen=True):
    """The result of a run."""

    trace: str
    counts: dict[str, int]


class World:
    """All that there is in a run."""

    def __init__(
        self, scheduler: Scheduler, all_disks: Disks, template: Path, often: Sequence[Fault] = ()
    ) -> None:
        # The faults with their weights; those in `often` are a hundred times as frequent.
        self._faults = {
            one: often_it_is * (100 if one in often else 1) for one, often_it_is in FAULTS.items()
        }
        self.scheduler = scheduler
        self.chance: random.Random = scheduler.random
        self.network = Network(scheduler)
        self.broker = Broker(scheduler, self.network)
        self.jetstream = JetStream(self.broker)
        self.disks = all_disks
        self.told = Told()
        self.tried: Counter[str] = Counter()
        # The time of the broker's last loss.
        self.lost_at = -1.0
        self.machine = Machine(scheduler, all_disks, "service", all_disks.first(template))
        self._background: list[asyncio.Task[None]] = []

    def keep_up(self, machine: Machine) -> None:
        """Keeps a machine's service running: it is started again and again."""
        self._background.append(asyncio.create_task(machine.run()))

    def broker_lost_something(self) -> None:
        """Notes that messages in the broker may be lost."""
        self.lost_at = self.scheduler.now

    async def live(self) -> None:
        """Runs all, from the first start to the last stop."""
        self.keep_up(self.machine)
        applications = [
            self._in_a_process(f"application-{number}", application.run())
            for number in range(self.chance.choice([1, 2, 3]))
            for application in [Application(self.scheduler, self.told, number, self.chance.randrange(4, 16))]
        ]
        for number in range(self.chance.choice([1, 1, 2])):
            self._in_a_process(f"subscriber-{number}", Subscriber(self.scheduler, self.told, number).run())
        happening = [
            asyncio.create_task(self._let_happen()) for _ in range(self.chance.choice([0, 1, 1, 2, 3]))
        ]
        for task in [*applications, *happening]:
            await _ended(task)
            task.result()
        await self._all_well()
        await self.machine.end()

    async def _let_happen(self) -> None:
        await self.machine.serves()
        await asyncio.sleep(self.chance.choice([0.02, 0.2, 1.0]) * self.chance.random())
        fault = self.chance.choices(list(self._faults), list(self._faults.values()))[0]
        self.scheduler.note(f"what happens: {fault.__name__}")
        self.tried[fault.__name__.replace("_", " ")] += 1
        await fault(self)

    async def _all_well(self) -> None:
        self.machine.disk.failing_syncs = self.machine.disk.failing_writes = 0
        self.jetstream.silent_until = 0.0
        until = self.scheduler.now + WELL_WITHIN_SECONDS
        while not self._is_well():
            if self.scheduler.now > until:
                raise Broken(f"not all is well {WELL_WITHIN_SECONDS:g} s after the last fault: {self._how()}")
            await asyncio.sleep(0.05)

    def _is_well(self) -> bool:
        service = self.machine.service
        if service is None or self.machine.process is None or not service.is_settled:
            return False
        commands, events = (self.jetstream.streams.get(f"HYPERPAGE_{one}") for one in ("COMMANDS", "EVENTS"))
        if commands is None or commands.messages or events is None:
            return False
        head = service.leading.writer.head.position
        return len(events.messages) == head and all(len(seen) >= head for seen in self.told.events.values())

    def _how(self) -> str:
        service, reasons = self.machine.service, self.machine.reasons[-2:]
        if service is None or not service.is_serving:
            return f"it does not serve; {reasons}"
        commands = self.jetstream.streams.get("HYPERPAGE_COMMANDS")
        waiting = "none" if commands is None else len(commands.messages)
        seen = {number: len(events) for number, events in self.told.events.items()}
        return (
            f"head {service.leading.writer.head.position}, {service.leading.relay.state}, "
            f"durable commands waiting: {waiting}, events seen: {seen}; {reasons}"
        )

    def _in_a_process(self, name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        loop = new_loop(self.scheduler, Process(name), name)
        return loop.create_task(work)


async def _ended(task: "asyncio.Task[None]") -> None:
    """Returns when a task of another loop has ended."""
    world, ended = asyncio.get_running_loop(), asyncio.Event()
    if not task.done():
        task.add_done_callback(lambda _task: world.call_soon(ended.set))
        await ended.wait()


class Runs:
    """Runs in one folder, each from its seed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = folder / "template.db"
        with determined(Scheduler(TEMPLATE_SEED), TEMPLATE_SEED):
            connection, _ = open_store(self._template, cache_kib=100)
            connection.pragma("wal_checkpoint(TRUNCATE)")
            connection.close()

    def run(self, seed: int, *, often: Sequence[Fault] = (), lines: list[str] | None = None) -> Result:
        """The result of the run with this seed; its trace goes into `lines`, its faults are mostly `often`.

        Raises:
            Broken: something does not hold.
        """
        folder = self._folder / f"run-{seed}"
        folder.mkdir()
        with _own_garbage():
            result = self._lived(seed, folder, often, lines)
        shutil.rmtree(folder)
        return result

    def _lived(self, seed: int, folder: Path, often: Sequence[Fault], lines: list[str] | None) -> Result:
        scheduler = Scheduler(seed)
        scheduler.lines = lines
        with determined(scheduler, seed):
            with disks(folder, scheduler) as all_disks:
                world = World(scheduler, all_disks, self._template, often)
                scheduler.run(world.live(), Process("world"))
            judge(world)
        return Result(scheduler.trace, self._counts(world))

    def _counts(self, world: World) -> dict[str, int]:
        told = world.told
        return {
            "schedules": 1,
            "steps": world.scheduler.steps,
            "answers": sum(one.answer is not None for one in told.sent),
            "operations on keys": sum(map(len, told.operations.values())),
            "events followed": sum(map(len, told.events.values())),
            **world.tried,
        }


@contextmanager
def _own_garbage() -> Iterator[None]:
    # Loops, tasks and handles refer to each other, and the garbage collector would scan them over and over.
    # So they are collected once, at the end, without a scan of older objects.
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        gc.enable()

"""The faults of a run, each at a random moment: `FAULTS`, with their weights."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from hyperpage_client.contract.stream_metadata import INCARNATION
from tests.lab.simulation.machine import Machine

if TYPE_CHECKING:
    from tests.lab.simulation.run import World

Fault = Callable[["World"], Awaitable[None]]

# Long, since a power cut or a freeze may hit the service that shall take the store over.
TAKEN_WITHIN_SECONDS = 30.0


async def kill(world: "World") -> None:
    world.machine.kill()


async def cut(world: "World") -> None:
    world.machine.cut()


async def stop(world: "World") -> None:
    world.machine.ask_to_stop()


async def restart_broker(world: "World") -> None:
    await _broker_away(world)


async def power_cut_of_all(world: "World") -> None:
    """The broker loses unsynced messages, and messages that were removed from a stream are there again."""
    world.machine.cut()
    await _broker_away(world, loses_its_tail=True)


async def roll_back_broker(world: "World") -> None:
    await _broker_away(world, loses_its_tail=True)


async def wipe_broker(world: "World") -> None:
    world.broker_lost_something()
    world.broker.stop()
    world.jetstream.wipe()
    await asyncio.sleep(world.chance.uniform(0, 0.5))
    world.broker.start()


async def delete_a_stream(world: "World") -> None:
    if world.jetstream.streams:
        world.broker_lost_something()
        name = world.chance.choice(sorted(world.jetstream.streams))
        world.jetstream.streams.pop(name)


async def cut_a_link(world: "World") -> None:
    if connections := world.broker.connections:
        world.chance.choice(connections).reset()


async def lose_clients(world: "World") -> None:
    """Clients connect anew, while their sent messages are still on their way."""
    connections = world.broker.connections
    of_the_service = [one for one in connections if one.process is world.machine.process]
    chosen = of_the_service if world.chance.random() < 0.7 else connections[:1]
    until = world.scheduler.now + world.chance.choice([0.3, 1.5, 3.0])
    for one in chosen:
        one.hold_sent(until)
    await asyncio.sleep(world.chance.choice([0.005, 0.1, 0.4]))
    for one in chosen:
        one.lose_client()


async def hold_a_link(world: "World") -> None:
    if connections := world.broker.connections:
        until = world.scheduler.now + world.chance.choice([0.05, 0.5, 3.0])
        world.chance.choice(connections).hold(until)


async def silence(world: "World") -> None:
    world.jetstream.silent_until = world.scheduler.now + world.chance.choice([0.1, 1.0, 5.0])


async def disk_fails(world: "World") -> None:
    disk = world.machine.disk
    if world.chance.random() < 0.5:
        disk.failing_syncs = world.chance.randrange(1, 6)
    else:
        disk.failing_writes = world.chance.randrange(1, 6)


async def disk_fails_and_all_ends(world: "World") -> None:
    """The process or the machine goes down soon after the disk has failed."""
    disk = world.machine.disk
    disk.failing_syncs = world.chance.choice([1, 1, 2])
    until = world.scheduler.now + 1.0
    while disk.failing_syncs and world.scheduler.now < until:  # noqa: ASYNC110  # of another thread
        await asyncio.sleep(0.001)
    disk.failing_syncs = 0
    await asyncio.sleep(world.chance.choice([0.0, 0.002, 0.03]))
    world.chance.choice([world.machine.kill, world.machine.cut])()


async def disk_is_slow(world: "World") -> None:
    disk = world.machine.disk
    usual, disk.sync_takes = disk.sync_takes, (0.05, 0.3)
    await asyncio.sleep(world.chance.uniform(0.1, 1.5))
    disk.sync_takes = usual


async def freeze(world: "World") -> None:
    process = world.machine.process
    if process is None or process.is_frozen:
        return
    world.scheduler.freeze(process)
    await asyncio.sleep(world.chance.choice([0.1, 1.0, 3.0, 8.0]))
    # By now, a twin may have taken its place; that one thaws by its own fault.
    if world.machine.process is process:
        world.scheduler.thaw(process)


async def twin(world: "World") -> None:
    """The service is frozen, another one is started on a copy of its disk, and the first one goes on.

    It goes on only when its last look at the stream is too old to answer by, since a copy would lack these
    answers. And only when the other one has begun to take the store over: until then, the first one serves.
    """
    first, taken_by = world.machine, _incarnation(world)
    process = first.process
    if process is None or process.is_frozen or first.service is None or not first.service.is_serving:
        return
    world.scheduler.freeze(process)
    second = Machine(world.scheduler, world.disks, "twin", world.disks.after_kill(first.disk))
    first.is_kept_up = False
    world.machine = second
    world.keep_up(second)
    await asyncio.sleep(world.chance.choice([4.1, 4.5, 6.0, 10.0]))
    until = world.scheduler.now + TAKEN_WITHIN_SECONDS
    while _incarnation(world) in (None, taken_by):
        if world.scheduler.now > until:
            break
        await asyncio.sleep(0.05)
    world.scheduler.thaw(process)


def _incarnation(world: "World") -> str | None:
    """The incarnation of the serving service, by the stream's metadata."""
    stream = world.jetstream.streams.get("HYPERPAGE_EVENTS")
    return None if stream is None else stream.config.get("metadata", {}).get(INCARNATION)


async def _broker_away(world: "World", *, loses_its_tail: bool = False) -> None:
    world.broker.stop()
    if loses_its_tail:
        world.broker_lost_something()
        world.jetstream.lose_what_was_not_synced(world.chance)
    world.jetstream.restart()
    await asyncio.sleep(world.chance.choice([0.0, 0.05, 0.5, 2.0]))
    world.broker.start()


FAULTS: dict[Fault, int] = {
    kill: 8,
    cut: 10,
    stop: 3,
    restart_broker: 6,
    power_cut_of_all: 4,
    roll_back_broker: 4,
    wipe_broker: 2,
    delete_a_stream: 2,
    cut_a_link: 4,
    lose_clients: 6,
    hold_a_link: 6,
    silence: 3,
    disk_fails: 7,
    disk_fails_and_all_ends: 5,
    disk_is_slow: 3,
    freeze: 4,
    twin: 3,
}

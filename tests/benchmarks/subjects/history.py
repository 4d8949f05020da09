"""A long history beside a short one: relay, commands, queries, memory. `--events` says how long it is.

Both stores were decided from commands (`large_store.py`), a fifth as many jobs as events. A service starts
on each without a stream and without an archive; how fast its relay fills the stream is told by the stream
itself. Then, when both are at rest, they take turns.
"""

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack

import nats
import nats.js.errors

from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.checkout import Checkout, Served, service_on
from tests.benchmarks.core.driving import Measured, in_turns
from tests.benchmarks.core.figures import Figure
from tests.benchmarks.core.loads import Load, client_of
from tests.benchmarks.core.processes import cpu_seconds, memory_bytes
from tests.benchmarks.core.rows import Row, over, slower
from tests.benchmarks.core.stores import long_history

SHORT = 10_000
STREAM = "HYPERPAGE_EVENTS"
FILLINGS = 3
# The most that a service at rest takes of a processor.
AT_REST = 0.1
LOADS = (Load("own", 64), Load("own", 256), Load("stock", 256), Load("lean", 256, ids="none"))


def rows(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        fillings = [_filling(bench, number) for number in range(FILLINGS - 1)]
        data = long_history(bench.events, bench.folder / "long")
        long = stack.enter_context(service_on(Checkout.here(), data))
        fillings.append(asyncio.run(filled(long.url, bench.events)))
        data = long_history(SHORT, bench.folder / "short")
        short = stack.enter_context(service_on(Checkout.here(), data))
        events = f"{bench.events:,} events"
        yield Row("relay catching up", Figure.of(fillings), "/s", target=50_000, beside=events)
        for one in (short, long):
            rest(one)
        yield _memory(f"memory of the service at rest, {events}", long)._replace(target=300, at_most=True)
        yield from _beside(bench, long, short)
        # The service keeps each waiting job in memory, and no worker has taken those that were enqueued.
        yield _memory(f"memory of the service, {events}, with the jobs of these loads", long)


def _memory(what: str, service: Served) -> Row:
    ours = Figure.of(memory_bytes(one) / 1e6 for one in service.processes["service"])
    broker = sum(map(memory_bytes, service.processes["broker"])) / 1e6
    return Row(what, ours, "MB", beside=f"nats-server {broker:.0f} MB")


def _filling(bench: Bench, number: int) -> float:
    """How fast a service fills its stream that does nothing else."""
    data = long_history(bench.events, bench.folder / f"filled-{number}")
    with service_on(Checkout.here(), data) as service:
        rate = asyncio.run(filled(service.url, bench.events))
    shutil.rmtree(data)
    return rate


def _beside(bench: Bench, long: Served, short: Served) -> Iterator[Row]:
    name = f"{bench.events:,} events against {SHORT:,}"

    def measured(load: Load) -> dict[str, list[Measured]]:
        with client_of(long, load) as one, client_of(short, load) as other:
            sides = {"long": one, "short": other}
            return in_turns(sides, load.in_flight, seconds=bench.seconds, rounds=bench.rounds)

    for load in LOADS:
        found = measured(load)
        what = f"{name}: {load.client} client, {load.in_flight} in flight"
        yield over(what, found["long"], found["short"], target=0.9)
    for kind, what in (("enqueue", "a command alone"), ("get", "a query by key alone")):
        found = measured(Load("stock", 1, kind=kind))
        yield slower(f"{name}: {what}, p50", found["long"], found["short"], target=1.1)


async def filled(url: str, events: int) -> float:
    """The events per second with which the stream is filled up to `events`."""
    client = await nats.connect(url)
    stream = client.jetstream()
    began, first = time.perf_counter(), -1
    async with asyncio.timeout(3_600):
        while True:
            try:
                there = (await stream.stream_info(STREAM)).state.messages
            except nats.js.errors.NotFoundError:
                there = 0
            if first < 0 and there > 0:
                began, first = time.perf_counter(), there
            if there >= events:
                break
            await asyncio.sleep(0.02)
    await client.close()
    return (there - first) / (time.perf_counter() - began)


def rest(service: Served) -> None:
    """Waits until the service has done all the work of its start."""
    ids = [one for some in service.processes.values() for one in some]
    before = sum(map(cpu_seconds, ids))
    for _ in range(600):
        time.sleep(1)
        now = sum(map(cpu_seconds, ids))
        if now - before < AT_REST:
            return
        before = now

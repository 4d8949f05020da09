"""The machine's own limits: the syncs of its disk, and the bus with a responder that does nothing.

A command that has to be on disk before it is answered can't, alone, be quicker than one sync, nor than the
idle responder, which shows what client, nats-server and a second process take on this machine to hand over
a message.
"""

import os
import time
from collections.abc import Iterator

from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.driving import in_turns
from tests.benchmarks.core.figures import Figure, percentile
from tests.benchmarks.core.loads import Load, client_of_idle
from tests.benchmarks.core.rows import Row, median_of

SYNCS, BYTES = 300, 4_096
LEVELS = (1, 64, 256)


def rows(bench: Bench) -> Iterator[Row]:
    syncs = [list(_syncs(bench)) for _ in range(bench.rounds)]
    p99 = Figure.of(percentile(one, 99) for one in syncs).median
    middle = Figure.of(percentile(one, 50) for one in syncs)
    yield Row("4 KiB appended and synced (fdatasync): p50", middle, "µs", beside=f"p99 {p99:.0f} µs")
    with bench.idle() as idle:
        for level in LEVELS:
            with client_of_idle(idle, Load("lean", level, ids="none")) as client:
                found = in_turns({"": client}, level, seconds=bench.seconds, rounds=bench.rounds)[""]
            p50 = median_of(found, "p50")
            what = f"idle responder, lean client, {level} in flight"
            yield Row(what, Figure.of(one.rate for one in found), "/s", beside=f"p50 {p50:.2f} ms")


def _syncs(bench: Bench) -> Iterator[float]:
    """How long each of some syncs takes, in µs."""
    file = bench.folder / "synced"
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for _ in range(SYNCS):
            began = time.perf_counter()
            os.write(descriptor, b"x" * BYTES)
            os.fdatasync(descriptor)
            yield (time.perf_counter() - began) * 1e6
    finally:
        os.close(descriptor)
        file.unlink()

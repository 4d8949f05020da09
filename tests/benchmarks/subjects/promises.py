"""Promises that the system before this one made of its database, checked here with a single client.

There, a write was an SQL statement of the program itself, answered before it was surely on disk; here it is
a command over the network, decided, synced and in the log. Reads are queries over the network, the join is
SQL on a reading connection. Backup, check and restore are of a store of 100 MB.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter

from migrations.connection import open_reader
from ops.backup.metadata import list_backups
from ops.backup.retention import remove
from ops.backup.verify import verify_backup
from ops.targets.places import Places
from tests.benchmarks.backups import back_up, make_store, restore_it
from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.checkout import Checkout, service_on
from tests.benchmarks.core.driving import Driver, in_turns
from tests.benchmarks.core.figures import Figure
from tests.benchmarks.core.loads import Load, client_of
from tests.benchmarks.core.rows import Row, median_of
from tests.benchmarks.core.stores import long_history
from tests.benchmarks.subjects.history import rest

MEGABYTES = 100
# By kind of request: its name in the table, and the ms that were promised.
ALONE = {
    "get": ("a row by its key", 1.0),
    "list": ("twenty rows by an indexed column", 5.0),
    "configure": ("a tool's configuration stored", 5.0),
    "enqueue": ("a job stored", 8.0),
    "observe": ("a rate limit stored", 3.0),
}
JOIN = (
    "SELECT j.id, j.status, h.attempt, h.status, h.duration_ms FROM jobs AS j JOIN job_history AS h"
    " ON h.job_id = j.id WHERE j.status = 'failed' ORDER BY j.created_at DESC LIMIT 100"
)


def rows(bench: Bench) -> Iterator[Row]:
    data = long_history(bench.events, bench.folder / "long")
    with ExitStack() as stack:
        service = stack.enter_context(service_on(Checkout.here(), data))
        rest(service)
        sides = {
            kind: stack.enter_context(client_of(service, Load("stock", 1, kind, "none"))) for kind in ALONE
        }
        found = in_turns(sides, 1, seconds=bench.seconds, rounds=bench.rounds)
        for kind, (what, most_ms) in ALONE.items():
            p50 = Figure.of(one.p50 for one in found[kind])
            p99 = median_of(found[kind], "p99")
            yield Row(f"{what}: p50", p50, "ms", target=most_ms, at_most=True, beside=f"p99 {p99:.2f} ms")
        writes = [one.p99 for kind in ("enqueue", "configure", "observe") for one in found[kind]]
        yield Row("any write: p99", Figure.of(writes), "ms", target=10.0, at_most=True)
        joined = [_milliseconds(partial(_join, data / "hyperpage.db")) for _ in range(bench.rounds * 5)]
        yield Row("a join of jobs and attempts, in SQL", Figure.of(joined), "ms", target=20.0, at_most=True)
        writer = stack.enter_context(client_of(service, Load("own", 64)))
        reads = [_beside_writes(writer, sides["get"], bench.seconds) for _ in range(bench.rounds)]
        what = "a row by its key, while 64 commands are under way: p50"
        yield Row(what, Figure.of(reads), "ms", beside="readers wait for no writer, but for the processor")
    yield from _backups(bench)


def _beside_writes(writer: Driver, reader: Driver, seconds: float) -> float:
    """The median in ms of reads one by one, while another client writes as fast as it can."""
    writing = threading.Thread(target=writer.measure, args=(64, seconds + 0.5))
    writing.start()
    read = reader.measure(1, seconds)
    writing.join()
    return read.p50


def _join(store: Path) -> None:
    connection = open_reader(store)
    list(connection.execute(JOIN))
    connection.close()


def _backups(bench: Bench) -> Iterator[Row]:
    store = bench.folder / "data" / "hyperpage.db"
    store.parent.mkdir()
    make_store(store, MEGABYTES)
    places = Places(store=store, backups=bench.folder / "backups", archive=bench.folder / "archive")
    # The first backup recomputes the whole chain; each further one goes on from there, as hourly backups do.
    back_up(places)
    taken: dict[str, list[float]] = {"made": [], "checked": [], "restored": []}
    for _ in range(3):
        taken["made"].append(_milliseconds(lambda: back_up(places)) / 1_000)
        newest = list_backups(places.backups)[0]
        taken["checked"].append(_milliseconds(partial(verify_backup, newest.path, whole=False)) / 1_000)
        taken["restored"].append(_milliseconds(partial(restore_it, places, newest)) / 1_000)
        remove(newest)
    for what, most_s in (("made", 2.0), ("checked", 1.0), ("restored", 3.0)):
        name = f"a backup of {MEGABYTES} MB {what}"
        yield Row(name, Figure.of(taken[what]), "s", target=most_s, at_most=True)


def _milliseconds(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return (perf_counter() - began) * 1_000

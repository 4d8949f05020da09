"""A rebuild: all tables emptied, and made from the log again, by `hyperpage projections rebuild`.

The difference between a long history and a short one leaves out the time that the program takes to start.
"""

import time
from collections.abc import Iterator

from migrations.connection import open_writer, write_transaction
from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.checkout import Checkout
from tests.benchmarks.core.figures import Figure
from tests.benchmarks.core.processes import started
from tests.benchmarks.core.rows import Row
from tests.benchmarks.core.stores import long_history
from tests.support.stores.writing import TABLES

SHORT = 10_000
ROUNDS = 3


def rows(bench: Bench) -> Iterator[Row]:
    rates = []
    for number in range(min(bench.rounds, ROUNDS)):
        short, long = (_rebuilt(bench, f"{events}-{number}", events) for events in (SHORT, bench.events))
        rates.append((bench.events - SHORT) / (long - short))
    yield Row("rebuild", Figure.of(rates), "/s", target=80_000, beside=f"{bench.events:,} events")


def _rebuilt(bench: Bench, name: str, events: int) -> float:
    """The seconds that a rebuild of a history of so many events takes."""
    data = long_history(events, bench.folder / name)
    connection = open_writer(data / "hyperpage.db")
    with write_transaction(connection):
        # The attempts refer to jobs, so they go first.
        for table in sorted(TABLES, key=lambda one: one != "job_history"):
            connection.execute(f"DELETE FROM {table}")
    connection.close()
    here = Checkout.here()
    began = time.perf_counter()
    command = here.command("ops.cli", "projections", "rebuild", "--data", data)
    with started(command, cwd=here.root, env=here.environment) as process:
        assert process.wait() == 0
    return time.perf_counter() - began

"""Batches of a hundred commands, beside SQLite alone inserting the same rows in groups of a hundred.

The rows are those that the service has just made of such batches, with random ids: `core/stores.py` puts
them into an empty store again, with nothing but SQL, each group synced. What SQLite alone does in groups of
one and of a thousand is told beside it.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.driving import in_turns
from tests.benchmarks.core.figures import Figure, ratio
from tests.benchmarks.core.loads import Load, client_of
from tests.benchmarks.core.rows import Row, median_of
from tests.benchmarks.core.stores import bare_rows, insert_bare

IN_FLIGHT = 8
MOST_ROWS = 20_000


def rows(bench: Bench) -> Iterator[Row]:
    sample = bench.folder / "sample"
    with bench.service("sample") as service, client_of(service, Load("lean", IN_FLIGHT, "batch")) as client:
        client.measure(IN_FLIGHT, 2 * bench.seconds)
    bare = bare_rows(sample / "hyperpage.db", MOST_ROWS)
    alone = {
        group: [
            insert_bare(bare, bench.folder / f"{group}-{number}.db", group) for number in range(bench.rounds)
        ]
        for group in (100, 1_000)
    }
    few = bare._replace(commands=min(bare.commands, 1_000))
    alone[1] = [insert_bare(few, bench.folder / f"1-{number}.db", 1) for number in range(bench.rounds)]
    with ExitStack() as stack:
        service = stack.enter_context(bench.service())
        sides = {
            name: stack.enter_context(client_of(service, Load(name, IN_FLIGHT, "batch")))
            for name in ("lean", "own")
        }
        found = in_turns(sides, IN_FLIGHT, seconds=bench.seconds, rounds=bench.rounds)
    for name, measured in found.items():
        yield Row(
            f"batches of 100, {name} client, commands over raw inserts",
            ratio([one.rate for one in measured], alone[100]),
            target=0.35 if name == "lean" else None,
            beside=f"{median_of(measured, 'rate'):,.0f} and {Figure.of(alone[100]).median:,.0f} a second",
        )
    for group in sorted(alone):
        tables = ", ".join(sorted(bare.tables))
        yield Row(f"raw inserts, {group:,} in a transaction", Figure.of(alone[group]), "/s", beside=tables)

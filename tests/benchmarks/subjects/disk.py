"""Bytes on disk for one command: what `jobs.enqueue` with random ids for command and job leaves in the store.

The file alone, after its WAL is in it; neither the archive nor JetStream's copies. Which tables and indexes
take how much is told beside it.
"""

from collections.abc import Iterator

import apsw

from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.checkout import Checkout
from tests.benchmarks.core.figures import Figure
from tests.benchmarks.core.processes import started
from tests.benchmarks.core.rows import Row

GROUPS = 400
COMMANDS = GROUPS * 64
# The bytes of a command when the target was set to half of them.
BYTES_BEFORE = 881


def rows(bench: Bench) -> Iterator[Row]:
    found = {}
    for groups in (1, GROUPS):
        path = bench.folder / f"{groups}.db"
        command = Checkout.here().in_process("in_process", str(groups), str(path))
        with started(command, cwd=Checkout.here().root, env=Checkout.here().environment) as process:
            assert process.wait() == 0
        found[groups] = path
    connection = apsw.Connection(str(found[GROUPS]))
    connection.pragma("wal_checkpoint", "truncate")
    taken = [
        (name, size / COMMANDS)
        for name, size in connection.execute(
            "SELECT name, sum(pgsize) FROM dbstat GROUP BY 1 ORDER BY 2 DESC"
        )
        if size > COMMANDS
    ]
    connection.close()
    size = (found[GROUPS].stat().st_size - found[1].stat().st_size) / (COMMANDS - 64)
    yield Row(
        "bytes on disk a command (`jobs.enqueue` with ids, no more)",
        Figure.of([size]),
        "bytes",
        target=BYTES_BEFORE / 2,
        at_most=True,
        beside=", ".join(f"{name} {share:.0f}" for name, share in taken),
    )

"""The benchmark runs with each kind of client for a moment; the speed is not checked."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks.compare import measure
from tests.benchmarks.core.checkout import Checkout
from tests.benchmarks.core.loads import CLIENTS, Load
from tests.benchmarks.core.stores import bare_rows, insert_bare
from tests.support.stores.writing import Sent, Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the processor's time is read from /proc")

LOADS = [
    *(Load(client, 4, kind) for client in CLIENTS for kind in ("enqueue", "get", "batch")),
    *(Load("own", 4, kind) for kind in ("durable", "claim")),
    *(Load("stock", 1, kind, "none") for kind in ("list", "configure", "observe")),
    Load("lean", 4, ids="ordered"),
]


@pytest.mark.prove
def test_every_load_is_answered_and_what_it_took_is_told():
    copies = {"this": Checkout.here()}
    measured = list(measure(copies, LOADS, seconds=0.05, rounds=1, idle=True))

    assert [load for load, _ in measured] == LOADS
    for load, found in measured:
        (ours,), (idle,) = found["this"], found["idle"]
        assert set(ours.cpu) == set(idle.cpu) == {"client", "service", "broker"}, load
        assert 0 < ours.p50 <= ours.p99, load
        assert min(ours.rate, idle.rate, ours.whole_cpu) >= 0, load


def test_the_bare_rows_of_a_store_are_those_that_each_command_has(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db") as store:
        commands = [
            Sent("jobs.enqueue", {"id": f"{n}", "type": "t", "name": "n"}, id=f"{n}") for n in range(5)
        ]
        store.send_together(*commands)

    rows = bare_rows(tmp_path / "hyperpage.db", most=4)

    assert rows.commands == 4
    assert {"events", "jobs"} <= set(rows.tables)
    assert {len(some) for some in rows.tables.values()} == {4}
    assert insert_bare(rows, tmp_path / "bare.db", group=2) > 0
    assert bare_rows(tmp_path / "bare.db", most=9) == rows

"""Wrong rows are corrected from the tables of a verification, or from events that came after it."""

from functools import partial
from pathlib import Path

import apsw

from migrations.connection import open_reader
from projections import rebuild
from projections.rebuild import RebuildReport
from tests.support.stores.backing_up import tables_of
from tests.support.stores.writing import Sent, Store


def verify(store: Store, scratch: Path) -> RebuildReport:
    reader = open_reader(store.path)
    try:
        return rebuild.verify(reader, scratch)
    finally:
        reader.close()


def work(store: Store) -> None:
    """Of five jobs, one was tried in vain, one is held by a worker, and one is archived."""
    store.send_together(
        *(Sent("jobs.enqueue", {"id": f"job-{n}", "type": "t", "name": "n"}) for n in range(5))
    )
    claimed = store.send("jobs.claim", {"worker": "w", "limit": 2, "lease_ms": 60_000})["result"]["jobs"]
    store.send("jobs.fail", {"id": claimed[0]["id"], "lease": claimed[0]["lease"], "error": "no"})
    store.send("jobs.cancel", {"id": "job-4"})
    store.send("jobs.archive", {"id": "job-4"})
    store.send_together(*(Sent("app_state.set", {"key": f"k{n}", "value": n}) for n in range(3)))
    store.send("app_state.delete", {"key": "k2"})


def test_streams_that_go_on_after_the_verification_are_put_right_as_they_are_by_then(tmp_path: Path):
    scratch = tmp_path / "scratch"
    with Store(tmp_path / "hyperpage.db") as store:
        work(store)
        for table in ("job_history", "jobs", "app_state"):
            store.in_writer(partial(apsw.Connection.execute, statements=f"DELETE FROM {table}"))
        report = verify(store, scratch)
        assert {"jobs/job-0", "jobs/job-1", "app_state/k0"} <= set(report.streams)
        store.send("jobs.cancel", {"id": "job-3"})
        store.send("app_state.delete", {"key": "k0"})
        store.send("app_state.set", {"key": "k1", "value": "new"})

        def repair(connection: apsw.Connection, scratch: Path | None = None) -> int:
            return rebuild.repair(connection, report.streams, scratch)

        assert store.in_writer(partial(repair, scratch=scratch)) == len(report.streams)

        assert verify(store, tmp_path / "another").equal
        right = tables_of(store.path)
        store.in_writer(repair)
        assert tables_of(store.path) == right

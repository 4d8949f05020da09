"""The migration that adds the limits of jobs to a file, also to a damaged one."""

from pathlib import Path

import pytest

from migrations import runner
from migrations.connection import open_writer
from tests.support.clock import Clock
from tests.support.stores.writing import Store, dump_tables

BEFORE_LIMITS = "013_retry_policies"
LIMITS = {"concurrency": {"key": "acme", "limit": 1}, "rate": {"key": "acme", "limit": 1, "window_ms": 9_000}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a limited job that runs, and with others that wait, that ended, or have no limits."""
    path = tmp_path / "hyperpage.db"
    with Store(path, Clock()) as store:
        store.send("jobs.limit_queue", {"queue": "default", "concurrency": 9})
        window = {"limit": 5, "window_ms": 1_000}
        store.send("jobs.limit_queue", {"queue": "default", "concurrency": 3, "rate": window})
        for job in ("a", "b", "ended"):
            store.send("jobs.enqueue", {"id": job, "type": "t"} | LIMITS)
        store.send("jobs.cancel", {"id": "ended"})
        store.send("jobs.claim", {"worker": "w"})
        store.send("jobs.enqueue", {"id": "plain", "type": "t", "priority": 4})
    return path


def test_limits_that_a_file_did_not_know_are_what_its_events_say(path: Path):
    connection = open_writer(path)
    before = dump_tables(connection)

    runner.down(connection, to=BEFORE_LIMITS)
    runner.up(connection)

    assert dump_tables(connection) == before
    connection.close()


def test_a_damaged_begin_keeps_neither_a_service_from_starting_nor_a_file_from_its_next_step(path: Path):
    # A byte turns on the disk, behind SQLite's back.
    path.write_bytes(path.read_bytes().replace(b'{"worker":"w"', b'#"worker":"w"'))

    with Store(path, Clock()) as store:
        # The unreadable begin does not count for the rate; the running job still holds its key's place.
        claimed = store.send("jobs.claim", {"worker": "w", "limit": 5})["result"]["jobs"]
        assert [job["id"] for job in claimed] == ["plain"]
        assert store.writer._damage.suspected_at >= 0
    connection = open_writer(path)
    runner.down(connection, to=BEFORE_LIMITS)
    assert runner.up(connection)[0] == "014_job_limits"
    connection.close()

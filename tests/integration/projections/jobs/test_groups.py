"""The progress of groups of jobs, and the migration that adds groups to a file."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import apsw
import msgspec
import pytest

from migrations import runner
from migrations.connection import open_memory, open_reader
from projections.jobs.board import BrowseJobs, browse_jobs
from projections.jobs.statistics import JobGroup, group_progress
from tests.support.clock import NOW, Clock
from tests.support.stores.writing import Store, dump_tables

GROUP = "import-7"
BEFORE_GROUPS = "012_cancel_reasons"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A group of four: one completes, one fails, one is cancelled, one waits; and two jobs come after."""
    clock = Clock()
    with Store(tmp_path_factory.mktemp("groups") / "hyperpage.db", clock) as store:
        for job in ("a", "b", "c", "d"):
            store.send("jobs.enqueue", {"id": job, "type": "t", "group_id": GROUP})
        after = {"id": GROUP, "when": "all_ended"}
        store.send("jobs.enqueue", {"id": "next", "type": "t", "group_id": "other", "after_group": after})
        early = {"id": GROUP, "when": "one_failed"}
        store.send("jobs.enqueue", {"id": "early", "type": "t", "queue": "early", "after_group": early})
        clock.now += 1_000
        claimed = store.send("jobs.claim", {"worker": "w", "limit": 2})["result"]["jobs"]
        leases = [{"id": job["id"], "lease": job["lease"]} for job in claimed]
        clock.now += 1_000
        store.send("jobs.complete", leases[0])
        clock.now += 1_000
        store.send("jobs.fail", leases[1] | {"error": "x", "retryable": False})
        store.send("jobs.cancel", {"id": "c"})
        yield store


def progress(store: Store, group_id: str) -> Any:
    query = JobGroup(group_id=group_id)
    return msgspec.json.decode(store.in_writer(lambda connection: group_progress(connection, query)))


def test_the_progress_of_a_group_says_how_many_of_all_have_ended(store: Store):
    assert progress(store, GROUP) == {
        "group_id": GROUP,
        "total": 4,
        "done": 3,
        "percent": 75.0,
        "states": {"cancelled": 1, "completed": 1, "failed": 1, "pending": 1},
        "began_at": NOW + 1_000,
        "ended_at": NOW + 3_000,
    }


def test_a_group_that_no_job_has_is_empty(store: Store):
    nothing: dict[str, Any] = {
        "total": 0,
        "done": 0,
        "percent": None,
        "states": {},
        "began_at": None,
        "ended_at": None,
    }
    assert progress(store, "unknown") == {"group_id": "unknown", **nothing}


def test_a_group_is_counted_in_its_index_alone(store: Store):
    def steps(connection: apsw.Connection) -> str:
        query = "EXPLAIN QUERY PLAN SELECT state, count(*) FROM jobs WHERE group_id = 'g' GROUP BY state"
        return " ".join(row[3] for row in connection.execute(query))

    assert "USING COVERING INDEX idx_jobs_group" in store.in_writer(steps)


def test_jobs_are_browsed_by_their_group(store: Store):
    def browsed(connection: apsw.Connection) -> bytes:
        return browse_jobs(connection, BrowseJobs(group_id=GROUP))

    page = msgspec.json.decode(store.in_writer(browsed))
    assert sorted(job["id"] for job in page["items"]) == ["a", "b", "c", "d"]


def test_rows_that_an_older_program_made_get_what_their_events_say(store: Store):
    with closing(open_reader(store.path)) as reader:
        image = bytearray(reader.serialize("main"))
    # Without a WAL: https://www.sqlite.org/fileformat2.html, offsets 18 and 19.
    image[18:20] = b"\1\1"
    with closing(open_memory()) as connection:
        connection.deserialize("main", bytes(image))
        before = dump_tables(connection, ["jobs"])
        runner.down(connection, to=BEFORE_GROUPS)
        # The older program does not know that the job waits for a group.
        connection.execute("UPDATE jobs SET state = 'pending' WHERE id = 'next'")
        runner.up(connection)
        assert dump_tables(connection, ["jobs"]) == before
        states = "SELECT id, state FROM jobs WHERE after_group IS NOT NULL ORDER BY id"
        assert list(connection.execute(states)) == [("early", "pending"), ("next", "blocked")]

"""What the service does with jobs of its own accord, through the real writer."""

from pathlib import Path

from tests.integration.writing import NOW, Clock, Store, until

JOB = {"type": "mail", "name": "A mail"}
HOUR_MS = 3_600_000


def state_of(store: Store, job_id: str) -> str:
    """The state of a job, as its row has it."""
    found: str = store.in_writer(
        lambda connection: connection.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).get
    )
    return found


def test_an_attempt_past_its_deadline_is_ended_although_its_lease_is_good(tmp_path: Path):
    clock = Clock()
    with Store(tmp_path / "hyperpage.db", clock) as store:
        # Behind the time that attempts from before a start are given.
        clock.now += 30_000
        store.send("jobs.enqueue", JOB | {"id": "a", "timeout_ms": 60_000, "max_attempts": 1})
        job = store.send("jobs.claim", {"worker": "w", "lease_ms": HOUR_MS})["result"]["jobs"][0]
        assert job["deadline_at"] == NOW + 90_000
        clock.now += 60_000

        until(lambda: state_of(store, "a") == "timeout")

        reply = store.send("jobs.complete", {"id": "a", "lease": job["lease"]})
        assert reply["error"]["details"]["rule"] == "stale_lease"
        history = store.tables()["job_history"]
        assert [(row[3], row[7]) for row in history] == [
            ("'timeout'", "'the attempt took longer than 60000 ms'")
        ]


def test_a_deadline_outlives_a_restart(tmp_path: Path):
    clock = Clock()
    with Store(tmp_path / "hyperpage.db", clock) as store:
        store.send("jobs.enqueue", JOB | {"id": "a", "timeout_ms": 60_000})
        [job] = store.send("jobs.claim", {"worker": "w", "lease_ms": HOUR_MS})["result"]["jobs"]
    clock.now += 60_000
    with Store(tmp_path / "hyperpage.db", clock) as store:
        store.send("jobs.heartbeat", {"id": "a", "lease": job["lease"]})
        assert state_of(store, "a") == "running"
        clock.now += 30_000
        until(lambda: state_of(store, "a") == "retrying")


def test_archiving_takes_a_job_and_its_attempts_out_of_the_tables_and_leaves_its_events(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db") as store:
        store.send("jobs.enqueue", JOB | {"id": "a"})
        job = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"][0]
        store.send("jobs.complete", {"id": "a", "lease": job["lease"]})

        assert store.send("jobs.archive", {"id": "a"})["events"] == ["job.archived.v1"]

        assert (store.tables()["jobs"], store.tables()["job_history"]) == ([], [])
        assert [row.type for row in store.rows()] == [
            "job.enqueued.v1", "job.claimed.v1", "job.completed.v1", "job.archived.v1",
        ]  # fmt: skip

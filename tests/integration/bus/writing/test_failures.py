"""Failed attempts and jobs are counted once they are stored, through the real writer."""

from pathlib import Path

from bus.writing.jobs import failures
from tests.support.clock import HOUR_MS, Clock
from tests.support.patience import wait_for
from tests.support.stores.writing import Sent, Store

JOB = {"type": "mail", "name": "A mail"}


def failed(store: Store, job_id: str, **fields: object) -> None:
    """Enqueues and claims a job, and has its worker report that it failed."""
    store.send("jobs.enqueue", JOB | {"id": job_id, **fields})
    claim = {"worker": "w", "queue": fields.get("queue", "default")}
    [job] = store.send("jobs.claim", claim)["result"]["jobs"]
    store.send("jobs.fail", {"id": job_id, "lease": job["lease"], "error": "no"})


def test_attempts_are_counted_by_how_they_failed_and_jobs_once_they_have_none_left(tmp_path: Path):
    clock = Clock()
    with Store(tmp_path / "hyperpage.db", clock) as store:
        counted = store.writer.statistics.failures
        failed(store, "a", max_attempts=2)
        failed(store, "b", max_attempts=1, queue="mails")
        # One whose worker is lost, and one that takes too long.
        store.send("jobs.enqueue", JOB | {"id": "c", "queue": "lost"})
        store.send("jobs.claim", {"worker": "w", "queue": "lost", "lease_ms": 30_000})
        slow = {"id": "d", "queue": "slow", "timeout_ms": 60_000, "max_attempts": 1}
        store.send("jobs.enqueue", JOB | slow)
        store.send("jobs.claim", {"worker": "w", "queue": "slow", "lease_ms": HOUR_MS})
        clock.now += 120_000
        # An attempt is counted a moment before its job is.
        wait_for(lambda: (len(counted.attempts), len(counted.jobs)) == (4, 2))

        assert counted.attempts == {
            ("default", "mail", "failed"): 1,
            ("mails", "mail", "failed"): 1,
            ("lost", "mail", "rescued"): 1,
            ("slow", "mail", "timeout"): 1,
        }
        assert counted.jobs == {("mails", "mail"): 1, ("slow", "mail"): 1}


def test_what_was_taken_back_is_not_counted(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db") as store:
        store.send("jobs.enqueue", JOB | {"id": "a"})
        [job] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
        fail = Sent("jobs.fail", {"id": "a", "lease": job["lease"], "error": "no"})

        refused = store.send_batch(fail, Sent("jobs.cancel", {"id": "nobody"}), atomic=True)

        assert refused.code == "not_found"
        assert store.writer.statistics.failures.attempts == {}


def test_of_very_many_queues_only_so_many_are_told_apart(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(failures, "MAXIMUM_PAIRS", 2)
    with Store(tmp_path / "hyperpage.db") as store:
        for number, queue in enumerate(("a", "b", "c", "d", "a")):
            failed(store, str(number), max_attempts=1, queue=queue)

        assert store.writer.statistics.failures.jobs == {
            ("a", "mail"): 2,
            ("b", "mail"): 1,
            ("(other)", "(other)"): 2,
        }

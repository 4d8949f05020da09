"""Claims of jobs whose states are no longer in memory, which are read together."""

from pathlib import Path

from tests.support.stores.writing import Sent, Store


def test_jobs_that_are_in_the_file_alone_are_handed_out_as_they_are_in_order(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db", cache_capacity=1) as store:
        jobs = [{"id": f"job-{number:03}", "type": "t", "name": f"n{number}"} for number in range(150)]
        store.send_together(*(Sent("jobs.enqueue", body) for body in jobs))
        # Enough events that a snapshot of the state is stored.
        for number in range(120):
            store.send("jobs.reprioritize", {"id": "job-007", "priority": 1 + number % 2})
        store.send("jobs.cancel", {"id": "job-008"})
        claim = Sent("jobs.claim", {"worker": "w", "lease_ms": 600_000})
        replies = [reply for _ in range(2) for reply in store.send_together(*[claim] * 70)]

    claimed = [job for reply in replies for job in reply["result"]["jobs"]]
    assert [job["id"] for job in claimed] == [f"job-{number:03}" for number in range(141) if number != 8]
    assert [job["name"] for job in claimed] == [f"n{number}" for number in range(141) if number != 8]
    assert (claimed[7]["priority"], claimed[7]["version"]) == (2, 122)

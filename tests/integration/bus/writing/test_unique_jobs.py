"""Uniqueness through the real writer: within one group, across restarts, and without growing in memory."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.stores.looking_inside import unfinished
from tests.support.stores.writing import Sent, Store


def enqueue(job_id: str, **unique: Any) -> Sent:
    said = {"key": "u"} | unique
    return Sent("jobs.enqueue", {"id": job_id, "type": "mail", "name": "A mail", "unique": said})


def test_of_two_jobs_in_one_group_the_second_finds_the_first(path: Path):
    with Store(path) as store:
        first, second = store.send_together(enqueue("a"), enqueue("b"))

        assert (first["result"], second["result"]) == (None, {"existing": "a"})
        assert (second["stream"], second["events"]) == (None, [])


def test_a_job_that_was_taken_back_with_its_batch_is_in_nobodys_way(path: Path):
    with Store(path) as store:
        failing = Sent("jobs.cancel", {"id": "nobody"})
        assert store.send_batch(enqueue("a"), failing, atomic=True).code == "not_found"

        assert store.send_together(enqueue("b"))[0]["events"] == ["job.enqueued.v1"]


@pytest.mark.parametrize(
    ("scope", "ended", "existing"),
    [
        ("incomplete", "completed", None),
        ("successful", "completed", "a"),
        ("successful", "cancelled", None),
        ("all", "cancelled", "a"),
    ],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_a_finished_job_is_found_by_its_table_also_after_a_restart(
    path: Path, scope: str, ended: str, existing: str | None, restarted: bool
):
    store = Store(path)
    try:
        store.send_together(enqueue("a"))
        if ended == "completed":
            [job] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
            assert store.send("jobs.complete", {"id": "a", "lease": job["lease"]}).code is None
        else:
            assert store.send("jobs.cancel", {"id": "a"}).code is None
        if restarted:
            store.close()
            store = Store(path)
        assert unfinished(store.writer._aggregates.jobs.unique) == {}

        reply = store.send_together(enqueue("b", scope=scope))[0]

        assert reply["result"] == (None if existing is None else {"existing": existing})
    finally:
        store.close()


def test_a_job_that_ends_in_the_same_group_is_judged_as_it_has_ended(path: Path):
    with Store(path) as store:
        _, _, all_of_them, failed_may_repeat = store.send_together(
            enqueue("a"),
            Sent("jobs.cancel", {"id": "a"}),
            enqueue("b", scope="all"),
            enqueue("c", scope="successful"),
        )

        assert all_of_them["result"] == {"existing": "a"}
        assert failed_may_repeat["events"] == ["job.enqueued.v1"]


def test_an_unfinished_job_is_found_after_a_restart(path: Path):
    with Store(path) as store:
        store.send_together(enqueue("a"))
    with Store(path) as store:
        assert store.send_together(enqueue("b"))[0]["result"] == {"existing": "a"}


def test_who_asks_for_the_jobs_of_a_window_looks_at_none_that_are_older(path: Path):
    clock, throttle = Clock(), {"key": "u", "window_ms": 10, "limit": 3}
    with Store(path, clock) as store:
        for job in "abcd":
            store.send("jobs.enqueue", {"id": job, "type": "t", "throttle": throttle | {"window_ms": 1}})
            clock.now += 8
    with Store(path, clock) as store:
        assert store.send("jobs.enqueue", {"id": "e", "type": "t", "throttle": throttle})["result"] is None

        # The search goes back from the newest job, and ends with the first one that is too old.
        assert [job for job in "abcd" if store.writer._aggregates.is_hot("jobs", job)] == ["c", "d"]

"""Upkeep of jobs: deadlines, schedules, dependencies, pruning, through the real writer."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from bus.writing.group_context import Place
from ops.store.tables import Tables
from tests.support.clock import HOUR_MS, NOW, Clock
from tests.support.patience import wait_for
from tests.support.stores.writing import Sent, Store

JOB = {"type": "mail", "name": "A mail"}


def after(group_id: str) -> dict[str, Any]:
    """A job that follows a group."""
    return JOB | {"after_group": {"id": group_id}}


def state_of(store: Store, job_id: str) -> str:
    """The state of a job, as its row has it."""
    found: str = store.in_writer(
        lambda connection: connection.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).get
    )
    return found


def is_ahead(store: Store, clock: Clock) -> bool:
    return store.writer._aggregates.next_runs["s"] > clock.now


def test_an_attempt_past_its_deadline_is_ended_although_its_lease_is_good(tmp_path: Path):
    clock = Clock()
    with Store(tmp_path / "hyperpage.db", clock) as store:
        # Past the time in which deadlines do not count after a start.
        clock.now += 30_000
        store.send("jobs.enqueue", JOB | {"id": "a", "timeout_ms": 60_000, "max_attempts": 1})
        job = store.send("jobs.claim", {"worker": "w", "lease_ms": HOUR_MS})["result"]["jobs"][0]
        assert job["deadline_at"] == NOW + 90_000
        clock.now += 60_000

        wait_for(lambda: state_of(store, "a") == "timeout")

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
        wait_for(lambda: state_of(store, "a") == "retrying")


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


def test_a_job_goes_once_its_result_is_to_be_kept_no_longer(tmp_path: Path):
    clock = Clock()
    with Store(tmp_path / "hyperpage.db", clock) as store:
        for name, kept_ms in (("a", 60_000), ("b", 60_000), ("c", 60_001), ("d", 60_000)):
            store.send("jobs.enqueue", JOB | {"id": name, "result_ttl_ms": kept_ms})
        for job in store.send("jobs.claim", {"worker": "w", "limit": 4})["result"]["jobs"]:
            held = {"id": job["id"], "lease": job["lease"]}
            if job["id"] == "d":
                store.send("jobs.fail", held | {"error": "x", "retryable": False})
            else:
                store.send("jobs.complete", held | {"result": 1})
        clock.now += 60_000

        wait_for(lambda: [row.type for row in store.rows()].count("job.archived.v1") == 2)

        # A job that did not complete has no result, and stays.
        ids = store.in_writer(lambda connection: list(connection.execute("SELECT id FROM jobs ORDER BY id")))
        assert ids == [("c",), ("d",)]


def test_ten_thousand_jobs_that_wait_for_one_go_on_in_portions(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db") as store:
        store.send("jobs.enqueue", JOB | {"id": "p"})
        for start in range(0, 10_000, 1_000):
            store.send_batch(
                *(
                    Sent("jobs.enqueue", JOB | {"id": f"c{start + number}", "depends_on": ["p"]})
                    for number in range(1_000)
                )
            )
        [job] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]

        answer = store.send("jobs.complete", {"id": "p", "lease": job["lease"]})

        assert len(answer["events"]) == 101
        wait_for(lambda: len(store.writer._aggregates.jobs.due) == 10_000)
        assert max(len(commit.rows) for commit in store.commits) <= 1_000
        wait_for(lambda: not store.writer._upkeep.has_more)


def test_what_waits_for_a_job_that_ended_goes_on_after_a_restart(tmp_path: Path):
    path = tmp_path / "hyperpage.db"
    with Store(path, next_upkeep=math.inf) as store:
        store.send("jobs.enqueue", JOB | {"id": "p"})
        store.send_batch(
            *(Sent("jobs.enqueue", JOB | {"id": f"c{number}", "depends_on": ["p"]}) for number in range(150)),
            *(
                Sent("jobs.enqueue", JOB | {"id": f"g{number}", "depends_on": [f"c{number}"]})
                for number in range(9)
            ),
        )
        store.send("jobs.cancel", {"id": "p"})
        assert state_of(store, "c149") == "blocked"
        assert state_of(store, "g8") == "blocked"
    with Store(path) as store:
        wait_for(lambda: state_of(store, "c149") == state_of(store, "g8") == "cancelled")


def test_a_schedule_makes_one_job_for_each_time_across_restarts(tmp_path: Path):
    clock, path = Clock(), tmp_path / "hyperpage.db"
    with Store(path, clock) as store:
        store.send("schedules.set", {"id": "s", "job": JOB, "every_ms": HOUR_MS})
    for number in range(1, 4):
        clock.now = NOW + number * HOUR_MS
        for _ in range(2):
            with Store(path, clock) as store:
                wait_for(partial(is_ahead, store, clock))
    with Store(path, clock) as store:
        assert [row[0] for row in store.tables()["jobs"]] == [
            f"'s@{NOW + number * HOUR_MS}'" for number in (1, 2, 3)
        ]


def test_jobs_that_ended_long_ago_leave_the_tables_by_their_states(tmp_path: Path):
    clock = Clock()
    with Store(tmp_path / "hyperpage.db", clock, prune_after_ms={"cancelled": HOUR_MS}) as store:
        many = [Sent("jobs.enqueue", JOB | {"id": f"c{number:04}"}) for number in range(900)]
        store.send_batch(*many)
        store.send_batch(*(Sent("jobs.cancel", {"id": one.body["id"]}) for one in many))
        store.send("jobs.enqueue", JOB | {"id": "failed"})
        [job] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
        store.send("jobs.fail", {"id": "failed", "lease": job["lease"], "error": "x", "retryable": False})
        # A job that another job waits for stays.
        store.send("jobs.enqueue", JOB | {"id": "awaited"})
        waiting = {"id": "patient", "depends_on": ["awaited"], "on_dependency_failure": "wait"}
        store.send("jobs.enqueue", JOB | waiting)
        store.send("jobs.cancel", {"id": "awaited"})
        # So does a job of a group that another job waits for.
        store.send("jobs.enqueue", JOB | {"id": "member", "group_id": "g"})
        after = {"id": "g", "when": "all_completed"}
        store.send("jobs.enqueue", waiting | {"id": "next", "depends_on": [], "after_group": after} | JOB)
        store.send("jobs.cancel", {"id": "member"})
        clock.now += HOUR_MS - 1
        assert len(store.tables()["jobs"]) == 905
        clock.now += 1

        wait_for(lambda: len(store.tables()["jobs"]) == 5)

        left = [row[0].strip("'") for row in store.tables()["jobs"]]
        assert left == ["awaited", "failed", "member", "next", "patient"]
        assert max(len(commit.rows) for commit in store.commits[-5:]) <= 500


def test_jobs_are_pruned_where_nobody_waits_for_a_group(tmp_path: Path):
    clock = Clock()
    with Store(tmp_path / "hyperpage.db", clock, prune_after_ms={"cancelled": HOUR_MS}) as store:
        store.send("jobs.enqueue", JOB | {"id": "a"})
        store.send("jobs.cancel", {"id": "a"})
        clock.now += HOUR_MS
        wait_for(lambda: not store.tables()["jobs"])
        assert store.writer.statistics.upkeep_failure is None


def test_jobs_whose_rows_were_lost_or_made_up_break_nothing(tmp_path: Path):
    path = tmp_path / "hyperpage.db"
    with Store(path, next_upkeep=math.inf) as store:
        store.send("jobs.enqueue", JOB | {"id": "p"})
        store.send("jobs.enqueue", JOB | {"id": "child", "depends_on": ["p"], "unique": {"key": "u"}})
        [job] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
        store.in_writer(lambda connection: connection.execute("DELETE FROM jobs WHERE id = 'child'"))
        ghost = "UPDATE jobs SET id = 'ghost' WHERE id = 'p'"
        store.in_writer(lambda connection: connection.execute("DELETE FROM job_history"))
        store.in_writer(lambda connection: connection.execute(ghost))
    with Store(path) as store:
        assert store.send("jobs.cancel", {"id": "child"}).code is None
        assert store.send("jobs.complete", {"id": "p", "lease": job["lease"]}).code is None
        dry = store.send("jobs.cancel_many", {"filter": {"type": "mail"}, "dry_run": True})
        assert dry["result"]["ids"] == []
        assert store.send("jobs.enqueue", JOB | {"id": "next", "unique": {"key": "u"}}).code is None


def test_rows_that_wait_for_a_group_although_their_jobs_do_not_hide_no_others(tmp_path: Path):
    path = tmp_path / "hyperpage.db"
    ghosts = [f"g{number}" for number in range(12)]
    with Store(path, next_upkeep=math.inf) as store:
        for group in (*ghosts, "real"):
            store.send("jobs.enqueue", {"type": "member", "id": f"of-{group}", "group_id": group})
            store.send("jobs.enqueue", after(group) | {"id": group})
        store.send("jobs.cancel_many", {"filter": {"type": "member"}, "limit": 1_000})
        store.send("jobs.retry", {"id": "of-real"})
        rows = "UPDATE jobs SET status = 'pending', state = 'blocked', completed_at = NULL WHERE id GLOB 'g*'"
        store.in_writer(lambda connection: connection.execute(rows))
    with Store(path) as store:
        store.send("jobs.cancel", {"id": "of-real"})
        wait_for(lambda: state_of(store, "real") == "cancelled")
        wait_for(lambda: store.send("jobs.archive", {"id": "of-g0"}).code is None)


def test_all_else_is_done_although_what_is_to_be_pruned_cannot_be_read(tmp_path: Path):
    class Damaged(Tables):
        def ended_jobs(
            self, connection: apsw.Connection, state: str, ended_until: int, behind: Place, limit: int
        ) -> Iterator[tuple[str, str | None, Place]]:
            raise apsw.CorruptError

    clock, path = Clock(), tmp_path / "hyperpage.db"
    with Store(path, clock, projections=Damaged(), prune_after_ms={"failed": HOUR_MS}) as store:
        store.send("jobs.enqueue", JOB | {"id": "a"})
        store.send("jobs.claim", {"worker": "w"})
        store.send("app_state.set", {"key": "k", "value": 1, "ttl_ms": HOUR_MS})
        clock.now += HOUR_MS
        wait_for(lambda: state_of(store, "a") == "retrying" and not store.tables()["app_state"])
        assert store.writer.statistics.upkeep_failure == "CorruptError"

"""Statistics of jobs, from a file that a writer has filled."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ops.contract.queries import query_verbs
from projections import reading
from projections.jobs import statistics
from tests.support.clock import NOW, Clock
from tests.support.stores.writing import Store


def ask(store: Store, name: str, **body: Any) -> Any:
    verb = query_verbs(lambda table, aggregate: None, store.clock)[name]
    query = msgspec.convert(body, verb.shape)
    return msgspec.json.decode(store.in_writer(lambda connection: verb.answer(connection, query)))


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A hundred jobs that waited 1 to 100 s and ran for two, one that failed twice, and some that wait."""
    clock = Clock()
    with Store(tmp_path_factory.mktemp("statistics") / "hyperpage.db", clock) as store:
        for number in range(1, 101):
            job = {
                "id": f"j{number:03}",
                "type": "t",
                "name": "n",
                "queue": "busy",
                "tags": [f"t{number % 2}"],
            }
            store.send("jobs.enqueue", job)
            clock.now += number * 1_000
            [claimed] = store.send("jobs.claim", {"worker": "w", "queue": "busy"})["result"]["jobs"]
            clock.now += 2_000
            store.send("jobs.complete", {"id": job["id"], "lease": claimed["lease"]})
        store.send("jobs.enqueue", {"id": "bad", "type": "t", "name": "n", "max_attempts": 2})
        for _ in range(2):
            [claimed] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
            failed = {"id": "bad", "lease": claimed["lease"], "error": "x", "retry_at": clock.now}
            store.send("jobs.fail", failed)
        store.send("jobs.enqueue", {"id": "due", "type": "u", "name": "n", "queue": "busy"})
        later = {"id": "later", "type": "u", "name": "n", "run_at": clock.now + 9_000}
        store.send("jobs.enqueue", later)
        store.send("jobs.enqueue", {"id": "held", "type": "u", "name": "n", "hold": True})
        store.send("jobs.enqueue", {"id": "blocked", "type": "u", "name": "n", "depends_on": ["due"]})
        yield store


def test_the_queues_tell_their_jobs_by_state_and_what_is_overdue(worked: Store):
    now = worked.clock.now
    queues = ask(worked, "jobs.stats")["queues"]

    assert queues["busy"]["states"] == {"completed": 100, "pending": 1}
    assert queues["default"]["states"] == {"blocked": 1, "failed": 1, "held": 1, "scheduled": 1}
    assert (queues["busy"]["overdue"], queues["busy"]["oldest_due_at"]) == (1, now)
    assert (queues["default"]["overdue"], queues["default"]["oldest_due_at"]) == (0, None)


def test_the_attempts_of_a_window_are_counted_and_measured(worked: Store):
    said = ask(worked, "jobs.stats", until=worked.clock.now, window_ms=365 * 86_400_000)

    assert said["queues"]["busy"]["attempts"] == {"completed": 100}
    assert said["queues"]["default"]["attempts"] == {"failed": 2}
    assert said["queues"]["busy"]["wait_ms"] == {"p50": 50_000, "p95": 95_000, "p99": 99_000, "max": 100_000}
    assert said["queues"]["busy"]["run_ms"] == {"p50": 2_000, "p95": 2_000, "p99": 2_000, "max": 2_000}


def test_what_ended_before_the_window_is_not_counted(worked: Store):
    said = ask(worked, "jobs.stats", until=worked.clock.now, window_ms=102_000, queue="busy")

    assert list(said["queues"]) == ["busy"]
    # The last job took 102 s; the one before ended when it was enqueued.
    assert said["queues"]["busy"]["attempts"] == {"completed": 1}
    assert said["since"] == worked.clock.now - 102_000


def test_attempts_are_counted_in_parts_of_a_window(worked: Store):
    # The last job ended now, 102 s after the one before, which ended 101 s after another.
    said = ask(worked, "jobs.throughput", queue="busy", window_ms=204_000, parts=2)
    now = worked.clock.now
    assert said == {
        "since": now - 204_000,
        "until": now,
        "part_ms": 102_000,
        "parts": [{"completed": 2}, {"completed": 1}],
    }
    # No attempt is left out, or counted twice.
    whole = ask(worked, "jobs.throughput", window_ms=7_200_000, parts=7)["parts"]
    assert sum(part.get("completed", 0) for part in whole) == 100
    assert sum(part.get("failed", 0) for part in whole) == 2


def test_without_an_end_the_window_ends_now(worked: Store):
    assert ask(worked, "jobs.stats")["until"] == worked.clock.now


def test_the_attempts_of_a_job_are_told_page_by_page(worked: Store):
    first = ask(worked, "jobs.attempts", id="bad", limit=1)
    second = ask(worked, "jobs.attempts", id="bad", limit=1, after=first["next"])

    assert [page["items"][0]["attempt"] for page in (first, second)] == [1, 2]
    assert second["next"] is None
    attempt = second["items"][0]
    assert (attempt["status"], attempt["error_message"], attempt["queue"]) == ("failed", "x", "default")


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"tag": "t1", "limit": 2}, ["j001", "j003"]),
        ({"state": "held"}, ["held"]),
        ({"status": "pending"}, ["blocked", "due", "later"]),
        ({"type": "u", "queue": "busy"}, ["due"]),
        ({"created_until": NOW}, ["j001"]),
        ({"completed_from": NOW, "completed_until": NOW + 3_000}, ["j001"]),
        ({"created_from": NOW + 1, "created_until": NOW + 3_000}, ["j002"]),
    ],
)
def test_jobs_are_listed_by_what_they_are(worked: Store, filters: dict[str, Any], ids: list[str]):
    assert [row["id"] for row in ask(worked, "jobs.list", **filters)["items"]] == ids


def test_jobs_are_listed_by_when_they_are_due(worked: Store):
    due = ask(worked, "jobs.list", state="scheduled", run_from=worked.clock.now + 9_000)

    assert [row["id"] for row in due["items"]] == ["later"]
    assert ask(worked, "jobs.count", state="scheduled", run_until=worked.clock.now) == {"count": 0}


def test_jobs_are_counted_by_what_they_are(worked: Store):
    counted = ask(worked, "jobs.count", by="queue")
    listed = ask(worked, "jobs.list", limit=1000)["items"]
    by_queue = Counter(row["queue"] for row in listed)
    assert counted == {
        "count": len(listed),
        "groups": [
            {"value": queue, "count": count}
            for queue, count in sorted(by_queue.items(), key=lambda one: (-one[1], one[0]))
        ],
        "groups_left_out": 0,
    }
    states = ask(worked, "jobs.count", by="state", type="u", queue="busy")
    assert states == {"count": 1, "groups": [{"value": "pending", "count": 1}], "groups_left_out": 0}
    nothing = ask(worked, "jobs.count", by="tool", type="none")
    assert nothing == {"count": 0, "groups": [], "groups_left_out": 0}


def test_what_is_too_much_for_an_answer_is_left_out_and_said(worked: Store, monkeypatch: pytest.MonkeyPatch):
    whole = ask(worked, "jobs.stats")
    assert whole["queues_left_out"] == 0
    assert whole["total"] == {
        "states": {"completed": 100, "pending": 1, "blocked": 1, "failed": 1, "held": 1, "scheduled": 1},
        "overdue": 1,
        "oldest_due_at": worked.clock.now,
        "oldest_due_id": "due",
        "attempts": whole["queues"]["busy"]["attempts"] | whole["queues"]["default"]["attempts"],
    }

    monkeypatch.setattr(statistics, "MAXIMUM_QUEUES", 1)
    [*queues] = (cut := ask(worked, "jobs.stats"))["queues"]
    assert (queues, cut["queues_left_out"], cut["total"]) == (["busy"], 1, whole["total"])
    alone = ask(worked, "jobs.stats", queue="default")
    assert (alone["queues_left_out"], alone["total"]["states"]["failed"]) == (0, 1)

    monkeypatch.setattr(reading, "MAXIMUM_GROUPS", 1)
    counted = ask(worked, "jobs.count", by="queue")
    assert (counted["count"], len(counted["groups"]), counted["groups_left_out"]) == (105, 1, 1)

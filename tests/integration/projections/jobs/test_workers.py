"""Workers and their running jobs, as a store knows them."""

from typing import Any

import msgspec
import pytest

from projections.jobs import workers
from tests.support.documents.reference_examples import ask
from tests.support.stores.writing import Store

MINUTE_MS = 60_000


def claim(store: Store, worker: str, **more: Any) -> dict[str, Any]:
    [job] = store.send("jobs.claim", {"worker": worker, **more})["result"]["jobs"]
    held: dict[str, Any] = {"id": job["id"], "lease": job["lease"]}
    return held


def said(store: Store, name: str, **query: Any) -> Any:
    return msgspec.json.decode(ask(store, name, query))


@pytest.fixture
def worked(unattended: Store) -> Store:
    """Five jobs: one worker has two, another one after it failed for the first, and the last is done."""
    for number in range(5):
        job = {"id": f"j{number}", "type": "t", "name": f"Job {number}", "run_at": number}
        assert unattended.send("jobs.enqueue", job).code is None
    claim(unattended, "a", lease_ms=10 * MINUTE_MS)
    unattended.clock.now += MINUTE_MS
    claim(unattended, "a", lease_ms=2 * MINUTE_MS)
    failed = claim(unattended, "a") | {"error": "x", "retry_at": unattended.clock.now}
    assert unattended.send("jobs.fail", failed).code is None
    unattended.clock.now += MINUTE_MS
    unattended.send("jobs.complete", claim(unattended, "c"))
    unattended.send("jobs.complete", claim(unattended, "b"))
    claim(unattended, "b")
    return unattended


def test_workers_have_jobs_and_attempts_of_their_own_also_of_a_job_that_another_took_over(worked: Store):
    now = worked.clock.now
    answer = said(worked, "jobs.workers")
    for one in answer["workers"].values():
        assert one.pop("asks_for") == {"default": None}
        assert one.pop("first_claim_at") <= one.pop("last_claim_at") <= now
        assert {one.pop("host"), one.pop("version")} == {None}
    assert answer == {
        "since": now - 60 * MINUTE_MS,
        "until": now,
        "workers": {
            "a": {
                "running": 2,
                "attempt_started_at": now - 2 * MINUTE_MS,
                "lease_expires_at": now + MINUTE_MS,
                "attempts": {"failed": 1},
                "last_ended_at": now - MINUTE_MS,
            },
            "b": {
                "running": 1,
                "attempt_started_at": now,
                "lease_expires_at": now + 30_000,
                "attempts": {"completed": 1},
                "last_ended_at": now,
            },
            "c": {
                "running": 0,
                "attempt_started_at": None,
                "lease_expires_at": None,
                "attempts": {"completed": 1},
                "last_ended_at": now,
            },
        },
    }


def test_what_ended_before_the_window_is_not_counted(worked: Store):
    workers = said(worked, "jobs.workers", window_ms=MINUTE_MS)["workers"]
    assert {name: one["attempts"] for name, one in workers.items()} == {
        "a": {},
        "b": {"completed": 1},
        "c": {"completed": 1},
    }


def test_who_asks_in_vain_is_known_with_what_it_says_of_itself_until_the_window_is_over(worked: Store):
    idle = {"worker": "idle", "queue": "mails", "types": ["mail", "fax"], "host": "m1", "version": "1.2"}
    first = worked.clock.now
    worked.send("jobs.claim", idle)
    worked.clock.now += MINUTE_MS
    worked.send("jobs.claim", idle | {"types": ["letter"], "version": "1.3"})
    worked.send("jobs.claim", idle | {"queue": "all", "types": None})

    assert said(worked, "jobs.workers", worker="idle")["workers"]["idle"] == {
        "running": 0,
        "attempt_started_at": None,
        "lease_expires_at": None,
        "attempts": {},
        "last_ended_at": None,
        "first_claim_at": first,
        "last_claim_at": worked.clock.now,
        "host": "m1",
        "version": "1.2",
        "asks_for": {"mails": ["fax", "letter", "mail"], "all": None},
    }

    worked.clock.now += MINUTE_MS
    assert said(worked, "jobs.workers", worker="idle", window_ms=MINUTE_MS)["workers"] == {}


def test_of_what_a_worker_asks_for_in_many_claims_the_latest_is_told(
    worked: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(workers, "MAXIMUM_ASKED", 3)
    for types in (["a"], ["b", "c"], ["c", "d"]):
        worked.send("jobs.claim", {"worker": "w9", "queue": "mails", "types": types})
    worked.send("jobs.claim", {"worker": "w9", "queue": "none"})

    [told] = said(worked, "jobs.workers", worker="w9")["workers"].values()

    assert told["asks_for"] == {"none": None, "mails": ["c", "d"]}


def test_an_answer_fits_into_a_message_whatever_workers_ask_for(worked: Store):
    for number in range(40):
        types = [f"{number}-{kind:03}".ljust(200, "\n") for kind in range(100)]
        worked.send("jobs.claim", {"worker": f"x{number:02}", "queue": "mails", "types": types})

    told = said(worked, "jobs.workers")["workers"]

    # The answer has the workers with jobs, and those that asked last.
    assert {"a", "b", "x39"} <= told.keys()
    assert "x00" not in told


def test_an_answer_has_an_end_and_says_since_when_it_counts(worked: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "MAXIMUM_ATTEMPTS", 2)
    monkeypatch.setattr(workers, "MAXIMUM_WORKERS", 2)
    answer = said(worked, "jobs.workers")
    assert answer["since"] == worked.clock.now
    # Workers with running jobs come first.
    assert {name: one["attempts"] for name, one in answer["workers"].items()} == {
        "a": {},
        "b": {"completed": 1},
    }
    # A worker that is asked for by name is in the answer, though there is no room for all.
    assert list(said(worked, "jobs.workers", worker="c")["workers"]) == ["c"]


def test_running_jobs_come_page_by_page_the_oldest_attempt_first(worked: Store):
    whole = said(worked, "jobs.running")
    assert [(one["id"], one["worker"]) for one in whole["items"]] == [("j0", "a"), ("j1", "a"), ("j2", "b")]
    assert whole["next"] is None
    ids, after = [], None
    while True:
        page = said(worked, "jobs.running", limit=1, **({} if after is None else {"after": after}))
        ids += [one["id"] for one in page["items"]]
        if (after := page["next"]) is None:
            break
    assert ids == ["j0", "j1", "j2"]
    assert [one["id"] for one in said(worked, "jobs.running", worker="b")["items"]] == ["j2"]
    assert "token" not in whole["items"][0]
    assert "lease" not in whole["items"][0]


def test_a_lease_that_is_gone_is_not_known(worked: Store):
    worked.in_writer(lambda connection: connection.execute("DELETE FROM job_leases"))
    assert {one["lease_expires_at"] for one in said(worked, "jobs.running")["items"]} == {None}
    assert said(worked, "jobs.workers")["workers"]["a"]["lease_expires_at"] is None

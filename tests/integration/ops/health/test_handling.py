"""Jobs that no worker asks for, as looks at a real store find them."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrations.connection import open_reader
from ops.health.cause import Cause
from ops.health.handling import HandlingWatch, UnhandledType, handling_causes
from tests.support.clock import HOUR_MS, NOW, Clock
from tests.support.stores.writing import Store

AFTER_MS = 600_000


class Looked:
    """A store with a watch of jobs that no worker handles, which looks when a test says so."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.watch = HandlingWatch(AFTER_MS)

    def look(self, watch: HandlingWatch | None = None) -> tuple[UnhandledType, ...]:
        writer, now = self.store.writer, self.store.clock.now
        with closing(open_reader(self.store.path)) as reader:
            return (watch or self.watch).look(writer.depths(now)[1], writer.seen_workers(), reader, now)

    def types(self) -> list[str]:
        return [one.type for one in self.look()]

    def enqueue(self, *types: str, **more: Any) -> None:
        for kind in types:
            self.store.send("jobs.enqueue", {"type": kind, "name": "A job", **more})

    def claim(self, worker: str, **more: Any) -> list[Any]:
        jobs: list[Any] = self.store.send("jobs.claim", {"worker": worker, **more})["result"]["jobs"]
        return jobs

    def wait(self, milliseconds: int = AFTER_MS) -> None:
        self.store.clock.now += milliseconds


@pytest.fixture
def looked(tmp_path: Path) -> Iterator[Looked]:
    with Store(tmp_path / "hyperpage.db", Clock()) as store:
        yield Looked(store)


def test_due_jobs_that_nobody_asks_for_are_told_after_a_time(looked: Looked):
    looked.enqueue("mail", "mail", queue="mails")
    # A job that has been due for years is reported only after the same time.
    looked.enqueue("fax", queue="mails", run_at=0)
    looked.enqueue("mail", queue="mails", run_at=NOW + 2 * AFTER_MS)
    # These claims are for other queues or other types.
    looked.claim("w", queue="pages")
    assert looked.look() == ()
    looked.wait(AFTER_MS - 1)
    looked.claim("w", queue="mails", types=["other"])
    assert looked.look() == ()

    looked.wait(1)

    assert looked.look() == (
        UnhandledType(queue="mails", type="fax", due=1, since=NOW),
        UnhandledType(queue="mails", type="mail", due=2, since=NOW),
    )


def test_who_has_asked_within_the_time_handles_them_also_in_vain(looked: Looked):
    looked.enqueue("mail", "fax", "only")
    looked.claim("w", types=["only"], lease_ms=HOUR_MS)
    looked.store.send("jobs.limit_queue", {"queue": "default", "concurrency": 1})
    looked.look()
    looked.wait()
    assert looked.claim("by_type", types=["mail"]) == []
    assert looked.types() == ["fax"]

    assert looked.claim("of_all_types") == []
    assert looked.types() == []

    looked.wait()
    assert looked.types() == ["fax", "mail"]


def test_a_worker_that_has_its_hands_full_asks_later(looked: Looked):
    looked.enqueue("mail", "mail", "fax", "other")
    [had] = looked.claim("w", types=["mail", "fax"], lease_ms=HOUR_MS)
    looked.look()
    looked.wait()
    assert looked.types() == ["other"]

    looked.store.send("jobs.complete", {"id": had["id"], "lease": had["lease"]})
    assert looked.types() == ["fax", "mail", "other"]


def test_a_worker_with_a_job_of_one_queue_asks_later_for_those_of_its_other_queue_too(looked: Looked):
    looked.enqueue("mail")
    looked.claim("w", queue="others", types=["fax"])
    looked.claim("w", lease_ms=HOUR_MS)
    looked.enqueue("fax", "other", queue="others")
    looked.look()
    looked.wait()
    assert looked.types() == ["other"]


def test_of_a_worker_that_has_a_job_since_before_the_start_nobody_knows_what_it_asks_for(tmp_path: Path):
    path, clock = tmp_path / "hyperpage.db", Clock()
    with Store(path, clock) as store:
        before = Looked(store)
        before.enqueue("mail", "fax")
        before.enqueue("mail", queue="others")
        before.claim("w", lease_ms=HOUR_MS)
    with Store(path, clock) as store:
        after = Looked(store)
        after.look()
        after.wait()
        assert [(one.queue, one.type) for one in after.look()] == [("others", "mail")]


def test_what_waits_in_a_paused_queue_is_left_to_who_paused_it(looked: Looked):
    looked.enqueue("mail")
    looked.look()
    looked.wait()
    looked.store.send("jobs.pause_queue", {"queue": "default"})
    assert looked.types() == []
    looked.store.send("jobs.resume_queue", {"queue": "default"})
    assert looked.types() == []
    looked.wait()
    assert looked.types() == ["mail"]


def test_it_can_be_left_out(looked: Looked):
    never = HandlingWatch(0)
    looked.enqueue("mail")
    looked.look(never)
    looked.wait()
    assert looked.look(never) == ()


def causes_of(*unhandled: UnhandledType) -> list[Cause]:
    return list(handling_causes(unhandled, NOW))


def test_the_cause_names_the_first_of_them_and_counts_the_others():
    first = UnhandledType(queue="mails", type="mail", due=2, since=NOW - AFTER_MS)
    assert causes_of() == []
    [cause] = causes_of(first)
    assert (cause.cause, cause.level) == ("jobs_unhandled", "degraded")
    assert (
        cause.message == "no worker has asked for 2 due jobs of type 'mail' in queue 'mails', for 10 minutes"
    )
    [cause] = causes_of(*[first] * 4)
    assert cause.message.endswith("; those of 1 type more")

"""Waiting jobs and rate limits, as the watch of work reads them from a real store."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric

from bus.log.damage import Damage
from bus.writing.jobs.depth import Depth
from bus.writing.writer import Writer
from hyperpage_client.tasks import cancel
from ops.health import work
from ops.health.work import HOUR_MS, WorkLook, WorkWatch, job_figures
from ops.metrics.work import job_families, limit_families
from projections.jobs.statistics import Failed
from tests.support.clock import NOW, Clock
from tests.support.patience import until
from tests.support.stores.writing import Store

JOB = {"type": "mail", "name": "A mail"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "hyperpage.db", Clock()) as opened:
        yield opened


def watch_of(store: Store, path: Path | None = None, damage: Damage | None = None) -> WorkWatch:
    return WorkWatch(
        path or store.path,
        damage or Damage(),
        writer=lambda: store.writer,
        now_ms=store.clock,
        every_seconds=0,
        unhandled_after_ms=0,
    )


def enqueue(store: Store, queue: str, jobs: int = 1, **fields: Any) -> None:
    for _ in range(jobs):
        store.send("jobs.enqueue", JOB | {"queue": queue, **fields})


def fail_one(store: Store, queue: str) -> None:
    [job] = store.send("jobs.claim", {"worker": "w", "queue": queue})["result"]["jobs"]
    store.send("jobs.fail", {"id": job["id"], "lease": job["lease"], "error": "no"})


def samples(families: Iterator[Metric], name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name by the values of their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_the_report_has_all_queues_together_and_names_the_one_that_is_most_behind(store: Store):
    watch = watch_of(store)
    enqueue(store, "mails", 2)
    store.clock.now += 5_000
    enqueue(store, "pages", run_at=NOW + HOUR_MS)
    enqueue(store, "pages", max_attempts=1)
    fail_one(store, "pages")
    store.clock.now += 1_000

    assert job_figures(watch.look(), store.clock.now) == {
        "due": 2,
        "scheduled": 1,
        "running": 0,
        "held": 0,
        "blocked": 0,
        "oldest_overdue_seconds": 6.0,
        "oldest_overdue_queue": "mails",
        "failed_attempts_in_an_hour": 1,
        "failed_jobs_in_an_hour": 1,
        "unhandled": (),
    }
    # Failures of more than an hour ago do not count.
    store.clock.now += HOUR_MS
    later = job_figures(watch.look(), store.clock.now)
    assert (later["failed_attempts_in_an_hour"], later["failed_jobs_in_an_hour"]) == (0, 0)


def test_a_queue_that_has_nothing_any_more_says_so(store: Store):
    watch = watch_of(store)
    enqueue(store, "mails", max_attempts=1)
    watch.look()
    fail_one(store, "mails")

    look = watch.look()

    assert look.queues == {"mails": Depth()}
    assert samples(job_families(look, NOW), "hyperpage_jobs_oldest_overdue_seconds") == {("mails",): 0}


def test_of_very_many_queues_the_largest_are_told_and_the_rest_is_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(work, "MAXIMUM_QUEUES", 2)
    watch = watch_of(store)
    for number in range(5):
        enqueue(store, f"q{number}", number + 1)
    store.clock.now += 60_000

    look = watch.look()

    due = {name: value for name, value in samples(job_families(look, NOW), "hyperpage_jobs").items() if value}
    assert due == {("q4", "due"): 5, ("q3", "due"): 4, ("(other)", "due"): 6}
    oldest = samples(job_families(look, store.clock.now), "hyperpage_jobs_oldest_overdue_seconds")
    assert oldest == {("q4",): 60, ("q3",): 60, ("(other)",): 60}
    # A queue that grows later does not replace those that are named already.
    enqueue(store, "q0", 20)
    assert watch.look().queues.keys() == {"q4", "q3", "(other)"}


def test_of_very_many_resources_some_are_told_and_of_the_rest_the_tightest(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(work, "MAXIMUM_RESOURCES", 1)
    watch = watch_of(store)
    for number in range(3):
        limit = {"platform": f"p{number}", "resource": "core", "limit": 100, "remaining": 30 - number}
        store.send("rate_limits.observe", limit | {"reset_time": NOW + 90_000})

    look = watch.look()

    remaining = samples(limit_families(look, NOW), "hyperpage_rate_limit_remaining")
    assert remaining == {("p0", "core"): 30, ("(other)", "(other)"): 28}
    until = samples(limit_families(look, NOW + 30_000), "hyperpage_rate_limit_reset_seconds")
    assert until == {("p0", "core"): 60, ("(other)", "(other)"): 60}


def test_who_does_not_lead_has_nothing_to_do(store: Store):
    watch = WorkWatch(
        store.path, Damage(), writer=lambda: None, now_ms=store.clock, every_seconds=0, unhandled_after_ms=0
    )
    assert watch.look() == WorkLook()


def test_of_a_row_that_was_changed_by_hand_nothing_is_told_and_of_jobs_all_the_same(
    store: Store, caplog: pytest.LogCaptureFixture
):
    enqueue(store, "mails")
    store.send("rate_limits.observe", {"platform": "github", "limit": 100, "remaining": 30})
    store.in_writer(lambda connection: connection.execute("UPDATE rate_limits SET platform = x'00ff'").get)

    watch = watch_of(store)
    looks = [watch.look() for _ in range(3)]

    assert [(look.queues["mails"].due, look.limits) for look in looks] == [(1, {})] * 3
    # A look reads the failures before the damaged row; the row is logged once.
    assert looks[-1].failed == Failed(attempts=0, jobs=0)
    assert len([one for one in caplog.records if one.name == work.__name__]) == 1


def test_a_look_that_breaks_off_is_told_and_the_next_one_is_as_ever(
    store: Store, caplog: pytest.LogCaptureFixture
):
    enqueue(store, "mails")
    asked = 0

    def writer() -> Writer:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RuntimeError("dictionary changed size during iteration")
        return store.writer

    watch = WorkWatch(
        store.path, Damage(), writer=writer, now_ms=store.clock, every_seconds=0, unhandled_after_ms=0
    )

    async def look_on() -> None:
        looking = asyncio.create_task(watch.run())
        try:
            await until(lambda: "mails" in watch.state.queues)
        finally:
            await cancel(looking)

    asyncio.run(look_on())
    assert "dictionary changed size" in caplog.text


def test_a_store_that_cannot_be_read_is_told_and_its_jobs_are_known_all_the_same(
    store: Store, tmp_path: Path
):
    enqueue(store, "mails")
    (tmp_path / "no-store").write_bytes(b"no database at all" * 1_000)
    damage = Damage()

    look = watch_of(store, tmp_path / "no-store", damage).look()

    assert (look.queues["mails"].due, look.failed) == (1, None)
    assert damage.problem is not None


def test_who_leads_again_begins_anew_with_types_that_nobody_asks_for(store: Store):
    writers = [store.writer, None, store.writer]
    watch = WorkWatch(
        store.path,
        Damage(),
        writer=lambda: writers[0],
        now_ms=store.clock,
        every_seconds=0,
        unhandled_after_ms=HOUR_MS,
    )
    store.send("jobs.enqueue", {"type": "mail", "name": "A job"})
    watch.look()
    store.clock.now += HOUR_MS
    assert [one.type for one in watch.look().unhandled] == ["mail"]

    # Another one leads for a while, and answers who asks.
    del writers[0]
    watch.look()
    del writers[0]
    assert watch.look().unhandled == ()
    store.clock.now += HOUR_MS
    assert [one.type for one in watch.look().unhandled] == ["mail"]

import pytest

from bus.writing.jobs import seen_workers
from bus.writing.jobs.seen_workers import FORGOTTEN_AFTER_MS, SeenWorkers

NOW = 1_700_000_000_000


def known(workers: SeenWorkers) -> list[str]:
    return [one.worker for one in workers.all()]


def test_who_claims_again_is_known_since_its_first_claim_and_whoever_stops_is_forgotten():
    workers = SeenWorkers()
    workers.note("stays", "default", None, NOW)
    workers.note("leaves", "default", None, NOW)
    workers.note("stays", "default", None, NOW + FORGOTTEN_AFTER_MS)
    assert known(workers) == ["leaves", "stays"]

    workers.note("stays", "default", None, NOW + FORGOTTEN_AFTER_MS + 1)

    [left] = workers.all()
    assert (left.worker, left.since, left.last_claim_at) == ("stays", NOW, NOW + FORGOTTEN_AFTER_MS + 1)


def test_claims_for_other_types_are_kept_apart():
    workers = SeenWorkers()
    workers.note("w", "default", ["a"], NOW)
    workers.note("w", "default", ["b"], NOW)
    assert [one.types for one in workers.all()] == [("a",), ("b",)]


def test_of_too_many_those_stay_that_claimed_last(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(seen_workers, "MAXIMUM_NAMES", 4)
    workers = SeenWorkers()
    workers.note("one", "default", None, NOW)
    workers.note("two", "default", ["a", "b"], NOW)
    workers.note("one", "default", None, NOW)
    workers.note("three", "default", ["a", "b"], NOW)
    assert known(workers) == ["one", "three"]

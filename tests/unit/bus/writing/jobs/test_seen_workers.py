import tracemalloc

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
    assert (left.worker, left.first_claim_at, left.last_claim_at) == (
        "stays",
        NOW,
        NOW + FORGOTTEN_AFTER_MS + 1,
    )


def test_claims_for_other_types_are_kept_apart():
    workers = SeenWorkers()
    workers.note("w", "default", ["a"], NOW)
    workers.note("w", "default", ["b"], NOW)
    assert [one.types for one in workers.all()] == [("a",), ("b",)]


def test_the_same_types_in_another_order_or_twice_are_the_same_claim():
    workers = SeenWorkers()
    workers.note("w", "default", ["a", "b"], NOW)
    workers.note("w", "default", ["b", "a", "b"], NOW + 1)
    [seen] = workers.all()
    assert (seen.types, seen.first_claim_at, seen.last_claim_at) == (("a", "b"), NOW, NOW + 1)


def test_a_claim_that_comes_again_keeps_no_further_names():
    workers = SeenWorkers()
    tracemalloc.start()
    try:
        taken = []
        for number in range(2):
            workers.note("w", "default", [f"{kind:0200}" for kind in range(100)], NOW + number)
            taken.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert taken[1] - taken[0] < taken[0] / 4


def test_names_of_hosts_and_versions_count_with_those_of_types(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(seen_workers, "MAXIMUM_NAMES", 400)
    workers = SeenWorkers()
    for number in range(200):
        workers.note(f"w{number}", "default", None, NOW, host=f"h{number}", version=f"v{number}")
    assert len(known(workers)) == 100


def test_of_too_many_those_stay_that_claimed_last(monkeypatch: pytest.MonkeyPatch):
    # Each worker takes four names of its own.
    monkeypatch.setattr(seen_workers, "MAXIMUM_NAMES", 10)
    workers = SeenWorkers()
    workers.note("one", "default", None, NOW)
    workers.note("two", "default", ["a", "b"], NOW)
    workers.note("one", "default", None, NOW)
    workers.note("three", "default", ["a", "b"], NOW)
    assert known(workers) == ["one", "three"]

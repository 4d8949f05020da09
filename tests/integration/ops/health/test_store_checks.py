"""Repairs and checks that a service begins by itself, and how often."""

import asyncio
from pathlib import Path

import pytest

from ops.backup.restoring.repairs import MOST_IN_A_DAY
from ops.backup.verdict import STORE, Verdict
from ops.health import store_checks
from tests.support.patience import COMES_WITHIN_SECONDS
from tests.support.services.watching import Watched, eventually

WITHOUT_LOSS = Verdict(wrong={STORE: "a page is damaged"})


def test_repairs_that_could_not_be_written_down_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_checks, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(store_checks, "judge", lambda *_, **__: WITHOUT_LOSS)
    with Watched(tmp_path, health_interval_seconds=0.1) as service:
        health = service.service.health
        health.checks.damage.confirm("a page is damaged")
        health.checks.verdict = WITHOUT_LOSS
        # With the third question, the oldest repair is more than a day ago.
        counts = iter([MOST_IN_A_DAY, MOST_IN_A_DAY, MOST_IN_A_DAY - 1])

        async def repaired() -> str:
            async with asyncio.timeout(COMES_WITHIN_SECONDS):
                return await health.damage_to_repair(lambda: next(counts))

        assert service.run(repaired()) == WITHOUT_LOSS.message
        assert list(counts) == []


def test_a_look_that_cannot_be_taken_is_tried_again_and_damage_that_was_found_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    looks: list[str] = []

    def look(*_: object) -> str:
        looks.append("a look")
        if len(looks) == 1:
            raise OSError("too many open files")
        return "a page is damaged"

    monkeypatch.setattr(store_checks, "problem_of_store", look)
    monkeypatch.setattr(store_checks, "LOOK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(store_checks, "judge", lambda *_, **__: WITHOUT_LOSS)
    with Watched(tmp_path, health_interval_seconds=0.1) as service:
        damage = service.service.health.checks.damage
        damage.suspect("a query met what is strange")
        eventually(service, lambda: damage.is_confirmed)
        assert len(looks) == 2
        asked_at = damage.suspected_at
        damage.suspect("a query met it again")
        assert damage.suspected_at == asked_at

"""What a service does by itself about damage, and how often."""

import asyncio
from pathlib import Path

import pytest

from ops.backup.restoring.repairs import MOST_IN_A_DAY
from ops.backup.verdict import STORE, Verdict
from ops.health import monitor
from tests.support.patience import COMES_WITHIN_SECONDS
from tests.support.services.watching import Watched

WITHOUT_LOSS = Verdict(wrong={STORE: "a page is damaged"})


def test_repairs_that_could_not_be_written_down_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(monitor, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(monitor, "judge", lambda *_, **__: WITHOUT_LOSS)
    with Watched(tmp_path, health_interval_seconds=0.1) as service:
        health = service.service.health
        health.damage.confirm("a page is damaged")
        health.verdict = WITHOUT_LOSS
        # The first is long enough ago when it is asked for the third time.
        counts = iter([MOST_IN_A_DAY, MOST_IN_A_DAY, MOST_IN_A_DAY - 1])

        async def repaired() -> str:
            async with asyncio.timeout(COMES_WITHIN_SECONDS):
                return await health.damage_to_repair(lambda: next(counts))

        assert service.run(repaired()) == WITHOUT_LOSS.message
        assert list(counts) == []

"""A chain that cannot be checked is told apart from one that is broken."""

import asyncio
from pathlib import Path

import pytest

from bus.log.damage import Damage
from hyperpage_client.tasks import cancel
from ops.health.chain_watch import ChainWatch
from tests.support.patience import until


def test_a_file_that_cannot_be_opened_is_no_broken_chain(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async def play() -> None:
        watch = ChainWatch(tmp_path / "away.db", Damage(), lambda: 0)
        watching = asyncio.create_task(watch.run(3_600))
        await until(lambda: "was checked up to position 0 only" in caplog.text)
        await cancel(watching)
        assert watch.state.problem is None
        assert watch.state.whole_at is None

    asyncio.run(play())

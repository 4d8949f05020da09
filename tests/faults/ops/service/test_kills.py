"""`kill -9` at any moment: an answered command is there once, and nothing is there twice.

Some kills are an experiment of the lab (tests/lab/killing), and are in its small edition.
"""

import asyncio
import json
import random
from pathlib import Path

import pytest

from tests.lab.killing.kills import CAUGHT_UP_SECONDS, connect, rows_of, strike
from tests.support.chance import SEED
from tests.support.patience import until
from tests.support.services.killable import Killable
from tests.support.services.raw_nats import RawNats


@pytest.mark.prove
def test_whatever_is_killed_answered_commands_are_there_once(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    strike(tmp_path, random.Random(SEED), kills=50)


def test_durable_commands_of_a_killed_service_are_carried_out_soon_and_in_order(tmp_path: Path) -> None:
    served = Killable(tmp_path)
    values = list(range(3_000))

    async def play() -> None:
        await served.start()
        async with await RawNats.connect(served.url) as client:
            subject = "hyperpage.dcmd.v1.app_state.set"
            await asyncio.gather(*(client.ask(subject, {"key": "k", "value": value}) for value in values))
        served.kill("service")
        await served.start()
        client = await connect(served)

        async def is_carried_out() -> bool:
            row = (await client.query("app_state.get", {"key": "k"})).said
            return bool(row.get("version") == len(values))

        await until(is_carried_out, CAUGHT_UP_SECONDS)
        await client.close()

    try:
        asyncio.run(play())
        assert [json.loads(str(row.data))["value"] for row in rows_of(tmp_path)] == values
    finally:
        served.stop()

"""Bytes of a store are overwritten while a service runs: it makes it anew, and nothing answered is lost."""

import asyncio
import random
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from ops.backup.restoring.repairs import MOST_IN_A_DAY, Repair, repairs_of_a_day
from ops.store.data_directory import read_runtime
from tests.support.patience import until
from tests.support.services.killable import Killable
from tests.support.services.raw_nats import RawNats
from tests.support.stores.pages import overwrite, pages_of

COMMANDS = 40
SETTINGS = """
health_interval_seconds = 0.1
integrity_check_minutes = 0.005
no_http = true
"""
WITHIN_SECONDS = 60.0


async def answers(url: str) -> list[bytes]:
    """The answers to some commands, under the same ids each time; large ones among them."""
    async with await RawNats.connect(url) as client:
        return [
            (
                await client.request(
                    "hyperpage.cmd.v1.app_state.set",
                    {"key": f"key-{number % 7}", "value": f"{number}" * (9_000 if number % 8 == 0 else 40)},
                    headers={"Hyperpage-Command-Id": f"command-{number}"},
                )
            ).body
            for number in range(COMMANDS)
        ]


async def status(url: str) -> Any:
    async with await RawNats.connect(url) as client:
        return (await client.request("hyperpage.qry.v1.service.status", {})).said


class Damaged:
    """A service whose store is damaged again and again."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        (self.data / "hyperpage.toml").write_text(SETTINGS)
        self.service = Killable(self.data)
        self.chance = random.Random(7)

    @property
    def store(self) -> Path:
        return self.data / "hyperpage.db"

    @property
    def url(self) -> str:
        runtime = read_runtime(self.data)
        return "" if runtime is None else runtime.nats_url

    @property
    def repairs(self) -> list[Repair]:
        return repairs_of_a_day(self.data, time.time_ns() // 1_000_000)

    async def archived(self) -> None:
        async def is_so() -> bool:
            report = await status(self.url)
            return bool(report["archive"]["position"] == report["position"])

        await until(is_so, WITHIN_SECONDS)

    async def repaired(self, count: int) -> None:
        """Returns when the service serves again behind its repairs, and is healthy."""

        def is_done() -> bool:
            done = [one for one in self.repairs if one.set_aside is not None]
            return len(done) == count and self.service.is_announced

        await until(is_done, WITHIN_SECONDS)

        async def is_well() -> bool:
            try:
                report = await status(self.url)
            except (OSError, TimeoutError):
                return False
            causes = {one["cause"] for one in report.get("causes", [{"cause": "starting"}])}
            return not causes & {"store_damaged", "starting", "store_unreadable"}

        await until(is_well, WITHIN_SECONDS)


@pytest.mark.timeout(300)
def test_damage_is_repaired_without_a_loss_and_no_more_often_than_a_disk_deserves(tmp_path: Path):
    damaged = Damaged(tmp_path)
    asyncio.run(_damage_again_and_again(damaged))
    assert all(Path(str(one.set_aside)).exists() for one in damaged.repairs)
    acts = [line for file in (damaged.data / "audit").iterdir() for line in file.read_text().splitlines()]
    assert sum("store.repair" in line for line in acts) == MOST_IN_A_DAY


async def _damage_again_and_again(damaged: Damaged) -> None:
    await damaged.service.start()
    try:
        answered = await answers(damaged.url)
        for count, (table, kind) in enumerate(
            [("events", "overflow"), ("sqlite_autoindex_events_1", "leaf"), ("sqlite_schema", "any")], 1
        ):
            await damaged.archived()
            with closing(apsw.Connection(str(damaged.store))) as connection:
                page = damaged.chance.choice(pages_of(connection, table, kind))
            overwrite(damaged.store, page, damaged.chance)
            await damaged.repaired(count)
            assert await answers(damaged.url) == answered
            assert (await status(damaged.url))["timeline"] == 1
        report = await status(damaged.url)
        assert [one["note"] for one in report["notes"]].count("store_repaired") == MOST_IN_A_DAY

        # A disk that damages the store again and again needs an operator who looks at it.
        await damaged.archived()
        with closing(apsw.Connection(str(damaged.store))) as connection:
            page = pages_of(connection, "events", "overflow")[0]
        overwrite(damaged.store, page, damaged.chance)

        async def is_named() -> bool:
            found = {one["cause"]: one for one in (await status(damaged.url))["causes"]}
            return "nothing is lost with it" in found.get("store_damaged", {}).get("hint", "")

        await until(is_named, WITHIN_SECONDS)
        assert len(damaged.repairs) == MOST_IN_A_DAY
    finally:
        damaged.service.kill("both")

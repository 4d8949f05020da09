"""Backups of a service that answers 2,000 commands a second: each is one moment, and has all from before."""

import asyncio
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.store.data_directory import read_admin
from ops.store.projections_check import verify
from ops.targets.places import Places
from tests.support.services.command_line import Served
from tests.support.services.pacing import Answered, PacedLoad
from tests.support.services.raw_nats import RawNats
from tests.support.stores.backing_up import VERSION, answers_of
from tests.support.stores.looking_inside import log_of

RATE = 2_000
# The rate on a machine that does other work as well.
MODEST_RATE = 500
# Few backups of each store, so that the last ones need not be compared with a million events.
BACKUPS_OF_A_STORE = 25


class Made(NamedTuple):
    """A backup's name and position, and how many commands had been answered when it was asked for."""

    name: str
    position: int
    answered: int


async def make_backups(
    data: Path, url: str, count: int, rate: int
) -> tuple[list[Made], list[Answered], float]:
    """Backups under load, what was answered in all, and how many commands a second were."""
    admin = read_admin(data)
    assert admin is not None
    async with (
        await RawNats.connect(url) as client,
        await RawNats.connect(admin.nats_url, inbox_prefix=f"{admin.inbox_prefix}.") as operator,
    ):
        load = PacedLoad(client, rate)
        working = asyncio.create_task(load.run())
        made = []
        began = time.monotonic()
        while not load.answered:
            await asyncio.wait([working], timeout=0.01)
        for _ in range(count):
            answered = len(load.answered)
            # A backup may take longer than a request usually waits.
            asked = operator.ask("hyperpage.adm.v1.backup.create", {})
            waited: tuple[asyncio.Future[Any], ...] = (asked, working)
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                # The load ends by itself only if it fails: this raises its error.
                await working
            done = (await asked).said
            made.append(Made(Path(done["path"]).name, done["metadata"]["position"], answered))
        seconds = time.monotonic() - began
        load.stop()
        await working
        assert load.refused == []
        return made, load.answered, len(load.answered) / seconds


def require_moment(folder: Path, data: Path, made: Made, answered: list[Answered]) -> None:
    """Restores a backup elsewhere, and compares it with the store and with what the clients were told."""
    store = folder / "restored" / "hyperpage.db"
    places = Places(store=store, backups=data / "backups", archive=folder / "nothing")
    restore(places, Moment(backup=made.name), version=VERSION, safety=False)
    live = data / "hyperpage.db"
    assert log_of(store, made.position) == log_of(live, made.position), made
    assert verify(store)["equal"], made
    remembered = {one[0]: one[3].encode() for one in answers_of(store)}
    assert remembered == {one[0]: one[3].encode() for one in answers_of(live) if one[2] <= made.position}, (
        made
    )
    missing = [
        one.command_id for one in answered[: made.answered] if remembered.get(one.command_id) != one.answer
    ]
    assert missing == [], made
    store.unlink()
    for leftover in store.parent.glob("hyperpage.db*"):
        leftover.unlink()


def back_up_under_load(folder: Path, count: int, rate: int) -> float:
    """How many commands a second were answered meanwhile."""
    folder.mkdir(exist_ok=True)
    data = folder / "data"
    with Served(data, HYPERPAGE_BACKUP_INTERVAL_MINUTES="0") as service:
        scenario = make_backups(data, service.runtime["nats_url"], count, rate)
        made, answered, reached = asyncio.run(scenario)
        assert service.stop() == 0
    for one in made:
        require_moment(folder, data, one, answered)
    return reached


def test_backups_under_load_are_each_a_moment_of_the_store(tmp_path: Path):
    print(f"{back_up_under_load(tmp_path, 2, MODEST_RATE):,.0f} commands a second")


@pytest.mark.prove
@pytest.mark.timeout(3_600)
def test_two_hundred_backups_under_load_are_each_a_moment_of_the_store(tmp_path: Path):
    for number in range(200 // BACKUPS_OF_A_STORE):
        rate = back_up_under_load(tmp_path / str(number), BACKUPS_OF_A_STORE, RATE)
        print(f"{BACKUPS_OF_A_STORE} backups of store {number}, at {rate:,.0f} commands a second")

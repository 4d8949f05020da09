"""A repair between two services, of which not everything can be recorded."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.log import chain
from domain.errors import RuleViolated
from ops.backup.requests import RestoreRequest
from ops.backup.restoring import repair as module
from ops.backup.restoring.repairs import FILE, MOST_IN_A_DAY, Repair, keep_repair
from ops.service.restores import Restores
from ops.settings import Settings
from tests.support.stores.backing_up import Stored


def stored(folder: Path) -> tuple[Settings, chain.Head]:
    """The settings of a store with a backup of all that it has, and where its log ends."""
    settings = Settings(data=folder)
    store = Stored(folder, places=settings.places)
    with store.store:
        store.work(10)
        store.backup()
        return settings, store.store.writer.head


def test_a_repair_counts_though_its_record_cannot_be_written(tmp_path: Path):
    settings, head = stored(tmp_path / "data")
    (settings.data / FILE).mkdir()
    restores = Restores(settings)
    for _ in range(MOST_IN_A_DAY):
        asyncio.run(restores.repair("a page is damaged", head))
    assert restores.unrepaired == "a page is damaged"
    assert restores.repairs_of_a_day() == MOST_IN_A_DAY


@pytest.fixture
def full_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full once the store was made anew."""

    def keep(data: Path, repair: Repair) -> None:
        if repair.set_aside is not None:
            raise OSError(28, "No space left on device")
        keep_repair(data, repair)

    monkeypatch.setattr(module, "keep_repair", keep)


@pytest.mark.usefixtures("full_behind")
def test_a_repair_at_a_start_that_was_done_is_none_that_failed_if_that_alone_is_not_kept(tmp_path: Path):
    settings, head = stored(tmp_path / "data")
    made = module.repair_without_loss(settings, "a page is damaged", version="0", is_known_to_end=True)
    assert made is not None
    assert made.position == head.position


@pytest.mark.usefixtures("full_behind")
def test_a_repair_that_was_done_is_none_that_failed_if_that_alone_is_not_kept(tmp_path: Path):
    settings, head = stored(tmp_path / "data")
    restores = Restores(settings)
    asyncio.run(restores.repair("a page is damaged", head))
    assert restores.unrepaired is None
    act = restores.take_act()
    assert act is not None
    assert act.outcome == "done"


def test_one_of_several_is_not_restored_while_others_would_go_on(tmp_path: Path):
    settings, _ = stored(tmp_path / "data")
    (verb, _) = Restores(msgspec.structs.replace(settings, replication="sync")).verbs()

    async def ask(*, dry_run: bool) -> Any:
        return await verb.carry_out(RestoreRequest(dry_run=dry_run))

    with pytest.raises(RuleViolated, match="one of several") as refused:
        asyncio.run(ask(dry_run=False))
    assert "stop all of them" in refused.value.hint
    assert asyncio.run(ask(dry_run=True))["plan"].segments == 0

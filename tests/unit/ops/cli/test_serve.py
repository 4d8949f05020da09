"""How `hyperpage serve` ends when a part of the service does, which a healthy one cannot be brought to."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from ops.cli.main import run
from ops.service.errors import ServiceError
from ops.store.data_directory import Runtime


class FailingService:
    """A service of which a part fails at once."""

    stopped = 0

    def __init__(self, settings: Any, **_: Any) -> None:
        self.settings = settings
        self.health = self

    async def damage_to_repair(self, *_: object) -> None:
        await asyncio.Event().wait()

    async def start(self) -> None:
        await asyncio.sleep(0)

    async def failure(self) -> None:
        raise ServiceError("the relay failed: no more disk", hint="wait")

    async def stop(self) -> None:
        FailingService.stopped += 1


@pytest.fixture
def failing(monkeypatch):
    runtime = Runtime(pid=1, nats_url="nats://a:b@x:1", store_id="s", timeline=1, position=0, version="0")
    monkeypatch.setattr("ops.service.process.Service", FailingService)
    monkeypatch.setattr("ops.service.process.read_runtime", lambda path: runtime)


@pytest.mark.usefixtures("failing")
def test_a_demo_that_lost_its_cancellation_does_not_keep_the_service_from_stopping(tmp_path, monkeypatch):
    began = asyncio.Event()

    async def demo(*_: Any) -> None:
        began.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def failure(_: FailingService) -> None:
        await began.wait()
        raise ServiceError("the relay failed: no more disk", hint="wait")

    monkeypatch.setattr("ops.service.process.run_demo", demo)
    monkeypatch.setattr(FailingService, "failure", failure)
    stopped = FailingService.stopped
    assert run(["serve", "--demo", "--data", str(tmp_path)]) == 1
    assert FailingService.stopped == stopped + 1


@pytest.mark.usefixtures("failing")
def test_a_service_of_which_a_part_fails_is_stopped_and_exits_with_1(tmp_path, capsys):
    stopped = FailingService.stopped
    assert run(["serve", "--data", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("hyperpage 0 serves")
    assert err == "error: the relay failed: no more disk\nhint: wait\n"
    assert FailingService.stopped == stopped + 1

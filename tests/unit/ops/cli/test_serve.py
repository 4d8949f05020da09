"""`hyperpage serve` ends when a part of the service fails; a stand-in fails in place of a real service."""

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


@pytest.fixture(autouse=True)
def not_collected(monkeypatch):
    """Skips the garbage collection before serving, which would look through all objects of the test run."""
    monkeypatch.setattr("ops.service.process.leave_alone_what_is_there", lambda: None)


@pytest.fixture
def failing(monkeypatch):
    runtime = Runtime(pid=1, nats_url="nats://a:b@x:4222", store_id="s", timeline=1, position=0, version="0")
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


def test_a_service_at_other_ports_than_the_usual_ones_says_so_loudly_unless_they_were_asked_for(
    tmp_path, capsys, monkeypatch
):
    elsewhere = Runtime(
        pid=1,
        nats_url="nats://a:secret@127.0.0.1:40001",
        http_url="http://127.0.0.1:40002",
        store_id="s",
        timeline=1,
        position=0,
        version="0",
    )
    monkeypatch.setattr("ops.service.process.Service", FailingService)
    monkeypatch.setattr("ops.service.process.read_runtime", lambda path: elsewhere)

    def said(*options: str) -> str:
        assert run(["serve", "--data", str(tmp_path), *options]) == 1
        return str(capsys.readouterr().err)

    warned = said()
    assert "warning" in warned
    assert (
        "NATS is at nats://127.0.0.1:40001, not at 4222; HTTP is at http://127.0.0.1:40002, not at 8822"
        in warned
    )
    assert f"--data {tmp_path}" in warned
    assert "secret" not in warned
    assert "40001" not in said("--nats-port", "0")
    assert "warning" not in said("--nats-port", "0", "--http", "127.0.0.1:0")

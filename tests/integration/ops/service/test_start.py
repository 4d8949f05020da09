"""How a service fails to start where its broker cannot be reached, and what it says then."""

import asyncio
import logging
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from bus.broker.server import NatsServer
from bus.broker.users import RESPONDER
from bus.client import connect
from ops.health.monitor import Monitor
from ops.service.composition import Service
from ops.service.errors import ServiceError
from ops.settings import Settings
from ops.store.data_directory import read_admin, read_runtime
from ops.store.opening import open_store
from tests.support.patience import COMES_WITHIN_SECONDS
from tests.support.services.command_line import hyperpage
from tests.support.services.outside_nats import outside_nats
from tests.support.services.serving import serving


def refused(folder: Path, url: str) -> str:
    async def scenario() -> str:
        service = Service(Settings(data=folder, nats=url))
        with pytest.raises(ServiceError) as failed:
            await service.start()
        return str(failed.value)

    return asyncio.run(scenario())


def test_a_broker_that_is_not_there_is_told_once_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ops.service.connections.CONNECT_SECONDS", 2.0)
    with socket.socket() as bound, caplog.at_level(logging.INFO):
        # The bound port is taken, and nothing listens there.
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        message = refused(tmp_path, f"nats://user:secret@{address}")

    assert message.startswith(f"no nats-server lets us in at {address}: ")
    assert "nothing listens there" in message
    assert "secret" not in message
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_a_broker_that_does_not_answer_is_told_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ops.service.connections.CONNECT_SECONDS", 0.5)
    with socket.socket() as deaf, caplog.at_level(logging.INFO):
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        message = refused(tmp_path, f"nats://127.0.0.1:{deaf.getsockname()[1]}")

    assert message.endswith("no answer within 0.5 s")
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_of_several_brokers_one_is_enough_and_applications_hear_of_all(tmp_path: Path):
    async def scenario() -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            gone = f"127.0.0.1:{bound.getsockname()[1]}"
            js = {"jetstream": {"store_dir": str(tmp_path / "streams")}}
            async with outside_nats(tmp_path / "broker", js) as broker:
                there = f"127.0.0.1:{broker.port}"
                settings = Settings(data=tmp_path / "data", nats=f"nats://{gone},{there}", no_http=True)
                async with Service(settings):
                    runtime, admin = read_runtime(settings.data), read_admin(settings.data)
                    assert runtime is not None
                    assert admin is not None
                    for found in (runtime, admin):
                        # A client that knows of a single address takes the first.
                        assert found.nats_url == f"nats://{gone}"
                        assert found.nats_urls == (f"nats://{gone}", f"nats://{there}")
                    done = await asyncio.to_thread(hyperpage, "status", "--data", settings.data)
                    assert done.code == 0, done
                    async with connect(runtime.nats) as client:
                        await client.send(
                            "app_state.set", {"key": "k", "value": 1}, timeout_seconds=COMES_WITHIN_SECONDS
                        )

    asyncio.run(scenario())


def test_a_password_that_is_refused_is_told_as_such(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ops.service.connections.CONNECT_SECONDS", 2.0)

    async def scenario() -> str:
        async with NatsServer(data=tmp_path / "broker", port=0) as server:
            url = server.url_for(RESPONDER)
            wrong = url.replace(url.split(":")[2].split("@")[0], "wrong")
            with pytest.raises(ServiceError) as failed:
                await Service(Settings(data=tmp_path / "data", nats=wrong)).start()
            return str(failed.value)

    with caplog.at_level(logging.INFO):
        message = asyncio.run(scenario())

    # The connection may be reset before the reason is read.
    assert "Authorization Violation" in message or "reset by peer" in message
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_what_a_start_fails_of_behind_the_writers_is_told_and_everything_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def failing(_: Monitor) -> None:
        raise OSError("the disk is gone")

    async def scenario() -> None:
        service = Service(Settings(data=tmp_path, nats_port=0, no_http=True))
        with monkeypatch.context() as patched:
            patched.setattr(Monitor, "start", failing)
            with pytest.raises(OSError, match="the disk is gone"):
                await service.start()
        # Nothing is held that another one needs.
        async with Service(Settings(data=tmp_path, nats_port=0, no_http=True)):
            pass

    asyncio.run(scenario())


def test_a_store_that_takes_long_to_open_keeps_nothing_else_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # A migration may take minutes, and the supervisor has to hear from the service meanwhile.
    goes_on = threading.Event()

    def open_late(*where: Any, **how: Any) -> Any:
        assert goes_on.wait(20), "the loop stood still meanwhile"
        return open_store(*where, **how)

    async def scenario() -> int:
        asyncio.get_running_loop().call_later(0.01, goes_on.set)
        async with serving(tmp_path) as service:
            return service.leading.writer.head.position

    monkeypatch.setattr("ops.service.composition.open_store", open_late)
    assert asyncio.run(scenario()) == 0

"""One directory, one service: a second one is refused, and a killed one does not stand in the way."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bus.broker.home import StoreInUseError
from bus.broker.server import NatsServer
from ops.service.composition import Service
from ops.settings import Settings
from ops.store.data_directory import DirectoryInUseError, read_admin, read_runtime
from tests.support.patience import patiently, wait_for
from tests.support.repository import ROOT
from tests.support.services.raw_nats import RawNats

READY_SECONDS = 30.0
# The promised time within which nats-server is gone after its service.
GONE_SECONDS = patiently(5.0)


@contextmanager
def serving(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A service as a process of its own, which is ready; killed at the end if it still runs."""
    process = started(folder)
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), process.communicate(timeout=READY_SECONDS)[1]
        yield process
    finally:
        process.kill()
        process.communicate(timeout=READY_SECONDS)


def started(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "serve", "--data", str(folder), "--nats-port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def nats_server_of(process: "subprocess.Popen[str]") -> int:
    """The process id of a service's nats-server."""
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid), "nats-server"], capture_output=True, text=True, check=True
    )
    (process_id,) = found.stdout.split()
    return int(process_id)


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    # A zombie has ended; only its parent has not asked for its exit code yet.
    status = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process_id)], capture_output=True, text=True, check=False
    )
    return not status.stdout.startswith("Z") and status.stdout.strip() != ""


def put(folder: Path, key: str) -> Any:
    """The answer of the service on a folder to a command."""

    async def ask() -> Any:
        runtime = read_runtime(folder)
        assert runtime is not None
        async with await RawNats.connect(runtime.nats_url) as client:
            return (await client.command("app_state.set", {"key": key, "value": 1}, id=f"id of {key}")).said

    return asyncio.run(ask())


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("runtime.json", "admin.json", "service.lock")}


def test_a_second_service_in_the_same_process_is_refused_and_harms_nothing(tmp_path: Path):
    async def scenario() -> None:
        settings = Settings(data=tmp_path, nats_port=0)
        async with Service(settings):
            before = files(tmp_path)
            for _ in range(2):
                with pytest.raises(DirectoryInUseError, match=f"in use by another service.*{os.getpid()}"):
                    await Service(settings).start()
            assert files(tmp_path) == before
            runtime = read_runtime(tmp_path)
            assert runtime is not None
            async with await RawNats.connect(runtime.nats_url) as client:
                assert (await client.command("app_state.set", {"key": "k", "value": 1})).code is None
        assert read_runtime(tmp_path) is None
        async with Service(settings) as service:
            assert service.leading.writer.head.position == 1

    asyncio.run(scenario())


def test_a_second_service_as_a_process_exits_with_1_and_says_who_is_there(tmp_path: Path):
    with serving(tmp_path) as first:
        before = files(tmp_path)
        second = started(tmp_path)
        out, err = second.communicate(timeout=READY_SECONDS)

        assert second.returncode == 1
        assert out == ""
        assert str(tmp_path) in err
        assert "in use by another service" in err
        assert str(first.pid) in err
        assert "Traceback" not in err
        assert files(tmp_path) == before
        assert put(tmp_path, "k")["position"] == 1


def test_of_several_that_start_at_once_one_serves(tmp_path: Path):
    processes = [started(tmp_path) for _ in range(4)]
    try:
        wait_for(lambda: sum(one.poll() is None for one in processes) == 1, READY_SECONDS)
        (winner,) = [one for one in processes if one.poll() is None]
        assert winner.stdout is not None
        assert winner.stdout.readline()
        runtime = read_runtime(tmp_path)
        assert runtime is not None
        assert runtime.pid == winner.pid
        assert {one.returncode for one in processes if one is not winner} == {1}
        assert put(tmp_path, "k")["position"] == 1
    finally:
        for one in processes:
            one.kill()
            one.communicate(timeout=READY_SECONDS)


def test_the_files_by_which_others_find_a_service_are_private_and_go_with_it(tmp_path: Path):
    with serving(tmp_path) as process:
        for name in ("runtime.json", "admin.json"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        runtime = json.loads((tmp_path / "runtime.json").read_bytes())
        assert runtime["pid"] == process.pid
        assert {"pid", "nats_url", "http_url", "store_id", "timeline", "position", "version"} <= set(runtime)
        admin = read_admin(tmp_path)
        assert admin is not None
        assert admin.nats_url.rpartition("@")[2] == runtime["nats_url"].rpartition("@")[2]
        process.terminate()
        assert process.wait(READY_SECONDS) == 0

    assert not (tmp_path / "runtime.json").exists()
    assert not (tmp_path / "admin.json").exists()


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_nats_server_is_gone_soon_after_its_service_was_killed(tmp_path: Path, stopped: bool):
    with serving(tmp_path) as process:
        child = nats_server_of(process)
        if stopped:
            # A stopped process does not handle signals, so only SIGKILL ends it.
            os.kill(child, signal.SIGSTOP)
        process.kill()
        process.wait()
        wait_for(lambda: not is_running(child), GONE_SECONDS)


def test_a_killed_service_is_followed_by_another_with_all_that_was_answered(tmp_path: Path):
    addresses, stores = set(), set()
    for number in range(3):
        with serving(tmp_path) as process:
            for earlier in range(number):
                assert put(tmp_path, f"key-{earlier}")["position"] == earlier + 1
            assert put(tmp_path, f"key-{number}")["position"] == number + 1
            runtime = read_runtime(tmp_path)
            assert runtime is not None
            assert (runtime.pid, runtime.position) == (process.pid, number)
            addresses.add(runtime.nats_url)
            stores.add(runtime.store_id)
            process.kill()
            process.wait()
            # It was killed, so it could not remove the file that says where it runs.
            assert read_runtime(tmp_path) is not None

    # A client that knows the address finds the next service there.
    assert len(addresses) == 1
    assert len(stores) == 1


def test_a_service_waits_for_the_nats_server_of_a_killed_one(tmp_path: Path):
    with serving(tmp_path) as process:
        child = nats_server_of(process)
        process.kill()
        process.wait()
        with serving(tmp_path) as successor:
            assert nats_server_of(successor) != child
            assert not is_running(child)
            assert put(tmp_path, "k")["position"] == 1


def test_a_service_whose_streams_are_in_use_says_so_and_leaves_the_way_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bus.broker.server.LOCK_TIMEOUT_MS", 300)

    async def scenario() -> None:
        settings = Settings(data=tmp_path, nats_port=0)
        async with NatsServer(data=tmp_path, port=0):
            with pytest.raises(StoreInUseError, match="in use by another service, or by a nats-server"):
                await Service(settings).start()
            assert read_runtime(tmp_path) is None
        async with Service(settings) as service:
            assert service.leading.writer.head.position == 0

    asyncio.run(scenario())


def test_killing_nats_server_alone_costs_a_moment(tmp_path: Path):
    with serving(tmp_path) as process:
        put(tmp_path, "before")
        child = nats_server_of(process)
        os.kill(child, signal.SIGKILL)

        def serves_again() -> bool:
            try:
                return bool(put(tmp_path, "after")["position"] == 2)
            except (OSError, ValueError, KeyError, AssertionError):
                return False

        wait_for(serves_again, GONE_SECONDS)
        assert nats_server_of(process) != child
        process.terminate()
        assert process.wait(READY_SECONDS) == 0

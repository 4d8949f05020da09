"""Messages to systemd while a service starts, serves, restores and stops; its unit, as systemd reads it."""

import asyncio
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from ops import deploy
from ops.service.supervision import Supervisor
from tests.support.machines.no_more_files import needs_prlimit, no_more_files
from tests.support.patience import patiently
from tests.support.services.command_line import Served
from tests.support.services.watching import Watched

UNIT = Path(deploy.__file__).with_name("hyperpage.service")


class Listener:
    """The socket of a supervisor, and the messages that it gets."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))

    def hears(self, line: str) -> list[str]:
        """All lines up to the given one, for which it waits."""
        self._socket.settimeout(patiently(5))
        said: list[str] = []
        while line not in said:
            said += self._socket.recv(4096).decode().splitlines()
        return said

    def hears_nothing_of(self, line: str, seconds: float) -> bool:
        """Whether a line does not come within so many seconds; lines that wait already are dropped."""
        self.forgets()
        deadline = time.monotonic() + seconds
        with suppress(TimeoutError):
            while (left := deadline - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if line in self._socket.recv(4096).decode().splitlines():
                    return False
        return True

    def forgets(self) -> None:
        """Drops the messages that have come so far."""
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(4096)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def listening(address: str) -> Iterator[Listener]:
    with closing(Listener(address)) as listener:
        yield listener


def test_it_says_that_it_starts_serves_is_alive_restores_and_stops(tmp_path: Path):
    address = str(tmp_path / "notify")
    with (
        listening(address) as systemd,
        Served(tmp_path / "data", NOTIFY_SOCKET=address, WATCHDOG_USEC="400000") as service,
    ):
        before = systemd.hears("READY=1")
        assert "STATUS=starting" in before
        assert "EXTEND_TIMEOUT_USEC=60000000" in before
        for _ in range(3):
            systemd.hears("WATCHDOG=1")
        assert any(line.startswith("STATUS=healthy") for line in systemd.hears("STATUS=healthy"))

        service.ask("send", "app_state.set", '{"key": "k", "value": 1}')
        service.ask("backup", "create")
        with ThreadPoolExecutor(1) as meanwhile:
            # The socket's queue may hold few messages, so it is read while the restore runs.
            restored = meanwhile.submit(service.ask, "backup", "restore", "--yes")
            systemd.hears("STATUS=restoring")
            systemd.hears("READY=1")
            assert restored.result()["position"] == 1

        assert service.stop() == 0
        assert "EXTEND_TIMEOUT_USEC=60000000" in [
            *systemd.hears("STOPPING=1"),
            *systemd.hears("STATUS=stopping"),
        ]


@needs_prlimit
def test_who_can_open_nothing_more_is_alive_all_the_same(tmp_path: Path):
    address = str(tmp_path / "notify")
    with (
        listening(address) as systemd,
        Served(tmp_path / "data", NOTIFY_SOCKET=address, WATCHDOG_USEC="400000") as service,
    ):
        systemd.hears("READY=1")
        with no_more_files(service.runtime["pid"]):
            systemd.forgets()
            systemd.hears("WATCHDOG=1")


def test_an_abstract_socket_will_do_and_a_watchdog_of_another_process_is_not_ours(tmp_path: Path):
    address = f"@hyperpage-{tmp_path.name}"

    async def told() -> None:
        telling = asyncio.create_task(supervisor.run())
        assert "WATCHDOG=1" in await asyncio.to_thread(systemd.hears, "STATUS=starting")
        supervisor.enter("serving", says=lambda: "degraded: disk_low")
        assert "STATUS=degraded: disk_low" in await asyncio.to_thread(
            systemd.hears, "STATUS=degraded: disk_low"
        )
        # A watchdog message every half microsecond would be a flood.
        assert await asyncio.to_thread(systemd.hears_nothing_of, "WATCHDOG=1", 0.2)
        telling.cancel()

    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}
    with listening(address) as systemd, closing(Supervisor(environment)) as supervisor:
        asyncio.run(told())


def test_a_supervisor_that_did_not_listen_for_a_while_is_told_what_it_missed(tmp_path: Path):
    address = str(tmp_path / "notify")

    async def told() -> None:
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as other, suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"STATUS=in the way", address)
        supervisor.enter("serving")
        telling = asyncio.create_task(supervisor.run())
        assert "READY=1" in await asyncio.to_thread(systemd.hears, "READY=1")
        # Once.
        assert await asyncio.to_thread(systemd.hears_nothing_of, "READY=1", 0.3)
        telling.cancel()

    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
    with listening(address) as systemd, closing(Supervisor(environment)) as supervisor:
        asyncio.run(told())


def test_without_a_supervisor_nobody_is_told_anything():
    # Without a supervisor it ends at once; with one it would run for ever.
    asyncio.run(asyncio.wait_for(Supervisor({}).run(), patiently(1)))


def test_a_service_that_cannot_write_any_more_falls_silent_so_that_it_is_started_again(tmp_path: Path):
    address = str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000"}
    with (
        listening(address) as systemd,
        closing(Supervisor(environment)) as supervisor,
        Watched(tmp_path / "data") as service,
    ):
        writer = service.service.leading.writer

        async def scenario() -> None:
            supervisor.enter("serving", is_alive=lambda: writer.is_alive)
            telling = asyncio.create_task(supervisor.run())
            await asyncio.to_thread(systemd.hears, "WATCHDOG=1")
            await asyncio.to_thread(writer.stop)
            assert await asyncio.to_thread(systemd.hears_nothing_of, "WATCHDOG=1", 0.5)
            # Other messages go on.
            await asyncio.to_thread(systemd.hears, "STATUS=serving")
            telling.cancel()

        service.run(scenario())


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze (Debian: apt-get install systemd)")
    copy = tmp_path / "hyperpage.service"
    program = shutil.which("true")
    copy.write_text(
        re.sub(r"ExecStart=\S+", f"ExecStart={program}", UNIT.read_text(encoding="utf-8")), "utf-8"
    )
    return copy


def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path):
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # Its words about other units of this machine do not matter.
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []


def test_systemd_finds_the_unit_shut_well(unit: Path):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stderr
    # 10 is a service that may do anything; below 2, systemd calls it OK, and nothing of its list is left but
    # the network.
    assert float(found[1]) < 1.5

"""A thousand connections that are only held open do not keep a service from answering other clients."""

import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.machines.no_more_files import needs_prlimit
from tests.support.patience import patiently, wait_for
from tests.support.services.command_line import Served

ROUNDS = 25
PROGRAM = "tests.support.programs.crowding_program"


@contextmanager
def crowding(port: int, *addresses: str) -> Iterator[None]:
    """500 slow connections and 500 idle ones for the length of the block."""
    arguments = [sys.executable, "-m", PROGRAM, str(port), ",".join(addresses)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "all are there\n"
            yield
        finally:
            process.kill()


def port_of(served: Served) -> int:
    return urlsplit(served.runtime["http_url"]).port or 0


def seconds_for(port: int, request: bytes) -> float:
    """How long a request takes that is answered with 200, on a connection of its own."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return time.perf_counter() - began


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def command(number: int) -> bytes:
    body = f'{{"key":"alive","value":{number}}}'
    head = "POST /api/v1/app_state/set HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def memory_mib(process_id: int) -> float:
    """The resident memory of a process."""
    [line] = [one for one in Path(f"/proc/{process_id}/status").read_text().splitlines() if "VmRSS" in one]
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param(("127.0.0.1",), marks=pytest.mark.prove),
        ("127.0.0.2", "127.0.0.3", "127.0.0.4"),
    ],
)
def test_beside_500_slow_and_500_idle_connections_all_others_are_answered(
    tmp_path: Path, addresses: tuple[str, ...]
) -> None:
    waited: dict[str, list[float]] = {"livez": [], "readyz": [], "command": []}
    with Served(tmp_path / "data", "--http", "127.0.0.1:0", "--http-open") as served:
        port = port_of(served)
        before = memory_mib(served.runtime["pid"])
        with crowding(port, *addresses):
            for number in range(ROUNDS):
                waited["livez"].append(seconds_for(port, get("/livez")))
                waited["readyz"].append(seconds_for(port, get("/readyz")))
                waited["command"].append(seconds_for(port, command(number)))
            grown = memory_mib(served.runtime["pid"]) - before
    longest = {what: f"{max(seconds):.3f} s" for what, seconds in waited.items()}
    print(f"beside a thousand, at most: {longest}; {grown:.0f} MiB more")

    assert max(waited["livez"]) < patiently(1.0)
    assert max(waited["readyz"]) < patiently(1.0)
    assert statistics.median(waited["command"]) < patiently(0.5)
    assert grown < 200


@needs_prlimit
def test_a_service_without_files_for_connections_goes_on_accepting(tmp_path: Path) -> None:
    with Served(tmp_path / "data", "--http", "127.0.0.1:0", "--http-open") as served:
        port, process_id = port_of(served), served.runtime["pid"]
        files = len(list(Path(f"/proc/{process_id}/fd").iterdir()))
        soft, hard = resource.prlimit(process_id, resource.RLIMIT_NOFILE)
        # Ten more, and it uses some of them itself now and then.
        resource.prlimit(process_id, resource.RLIMIT_NOFILE, (files + 10, hard))
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        wait_for(lambda: "HTTP connections end for new ones" in served.log.read_text())
        for _ in range(5):
            assert seconds_for(port, get("/livez")) < patiently(1.0)
        for one in held:
            one.close()
        resource.prlimit(process_id, resource.RLIMIT_NOFILE, (soft, hard))

        assert seconds_for(port, command(1)) < patiently(1.0)

"""Fixtures for pytest: a real service for the session, and a client for each test.

`hyperpage_service` starts `hyperpage serve` in a folder of its own, within a second, and ends it at last.
The program is found on the path; `HYPERPAGE` in the environment names another one, such as that of another
virtual environment. All tests of a session share its store: give what a test makes keys of its own.
"""

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from hyperpage_client.sync import Client

START_SECONDS = 60.0
STOP_SECONDS = 30.0


class Service(NamedTuple):
    """A service that runs: the address of its NATS, that of its HTTP, and its folder."""

    url: str
    http_url: str
    folder: Path


@pytest.fixture(scope="session")
def hyperpage_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own for the session.

    Its tests fail where there is no program to start, and say what to do.
    """
    folder = tmp_path_factory.mktemp("hyperpage")
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_program(), "serve", "--data", folder / "data", "--nats-port", "0", "--http", "127.0.0.1:0"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _served(process, folder / "data", log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def hyperpage_client(hyperpage_service: Service) -> "Iterator[Client]":
    """A client without an event loop; a test with one connects to `hyperpage_service.url`."""
    # Sessions that use no client load none.
    from hyperpage_client.sync import connect

    with connect(hyperpage_service.url) as client:
        yield client


def _program() -> list[str]:
    if named := os.environ.get("HYPERPAGE"):
        return shlex.split(named)
    if found := shutil.which("hyperpage"):
        return [found]
    pytest.fail(
        "there is no `hyperpage` on the path: install hyperpage-persistence, best into an environment of"
        " its own, and name its program in HYPERPAGE",
        pytrace=False,
    )


def _served(process: subprocess.Popen[bytes], data: Path, log: Path) -> Service:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            runtime = json.loads((data / "runtime.json").read_bytes())
            return Service(runtime["nats_url"], runtime["http_url"], data)
        except (OSError, ValueError, KeyError):
            time.sleep(0.02)
    pytest.fail(f"the service did not start:\n{log.read_text(errors='replace')}", pytrace=False)

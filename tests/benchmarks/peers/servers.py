"""Servers of peers, each for the length of a block, with the durability that they have by default.

UmaDB and PostgreSQL sync each commit before they answer; JetStream only with `sync_interval: always`, which
is set. All listen on the loopback, and their files are beside those of the service, on the same disk.
"""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.core.checkout import Checkout, Served, nats_server_on
from tests.benchmarks.core.processes import started, wait_for
from tests.benchmarks.peers.environment import environment_with, program_of_postgresql

MOST_CONNECTIONS = 128


@contextmanager
def umadb_on(folder: Path) -> Iterator[Served]:
    """UmaDB's server, which its Python package brings."""
    environment = environment_with("umadb")
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{_free_port()}"
    command: list[str | Path] = [
        environment.python.with_name("umadb"),
        "--listen",
        address,
        "--db-path",
        folder,
    ]
    with started(command) as process:
        wait_for(lambda: _listens(address), "UmaDB", process)
        yield Served(f"http://{address}", {"service": [process.pid]})


@contextmanager
def postgresql_on(folder: Path) -> Iterator[Served]:
    """PostgreSQL as `initdb` sets it up, on a socket in its folder; it refuses to run as root.

    The folder must be accessible for users other than root.
    """
    initdb, postgres = program_of_postgresql("initdb"), program_of_postgresql("postgres")
    user = _user()
    folder.mkdir(parents=True)
    if user is not None:
        shutil.chown(folder, user)
    store, log = folder / "store", folder / "log"
    asked = ["--auth=trust", "--username=benchmark", "--encoding=UTF8", "--locale=C"]
    with started([initdb, "-D", store, *asked], user=user, cwd=folder) as process:
        assert process.wait() == 0, "initdb failed"
    options = ["-c", "listen_addresses=", "-c", f"max_connections={MOST_CONNECTIONS + 10}"]
    command: list[str | Path] = [postgres, "-D", store, "-k", folder, *options]
    with log.open("wb") as said, started(command, user=user, cwd=folder, stderr=said) as process:
        wait_for(lambda: "ready to accept connections" in log.read_text(), "PostgreSQL", process)
        yield Served(str(folder), {"service": [process.pid]})


@contextmanager
def jetstream_on(folder: Path) -> Iterator[Served]:
    """JetStream that syncs each message before it acknowledges."""
    settings = f'jetstream {{ store_dir: "{folder}/jetstream", sync_interval: always }}'
    with nats_server_on(Checkout.here(), folder, settings) as server:
        yield server


def _user() -> str | None:
    """The user that PostgreSQL runs as in the place of root; None if this process is not root's."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as one:
        return one.connect_ex((host, int(port))) == 0

"""A copy of the repository with an environment, and what runs in it: a service, an idle responder."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self
from urllib.request import urlopen

from tests.benchmarks.core.processes import children, started, wait_for
from tests.support.repository import ROOT

IDLE_SUBJECT = "idle"
# The benchmark's own modules are always those of this copy, so that all copies are measured in the same way.
_BENCHMARK_OF_THIS_COPY = (
    "import runpy, sys, types; tests = sys.modules['tests'] = types.ModuleType('tests');"
    "tests.__path__ = [sys.argv.pop(1)]; runpy.run_module(sys.argv.pop(1), {}, '__main__', True)"
)
# Another machine's settings, or a tester's, measure nothing that can be compared.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("HYPERPAGE_")}


class Checkout(NamedTuple):
    """A folder with the sources, and the Python that has what they need."""

    root: Path
    python: Path

    @classmethod
    def here(cls) -> Self:
        return cls(ROOT, Path(sys.executable))

    @classmethod
    def at(cls, root: Path) -> Self:
        """The copy in this folder, with the environment that `make` makes in it."""
        return cls(root.absolute(), root.absolute() / ".venv" / "bin" / "python")

    def command(self, module: str, *arguments: str | Path) -> list[str | Path]:
        """The command that runs a module of this copy with these arguments."""
        return [self.python, "-m", module, *arguments]

    def driver(self, module: str, *arguments: str | Path) -> list[str | Path]:
        """The command for one of `tests.benchmarks.drivers`, with this copy's packages and product."""
        name = f"tests.benchmarks.drivers.{module}"
        return [self.python, "-c", _BENCHMARK_OF_THIS_COPY, ROOT / "tests", name, *arguments]

    def in_process(self, module: str, *arguments: str) -> list[str | Path]:
        """A driver that uses the parts of a service itself, and so needs the copy's own `tests` package."""
        file = ROOT / "tests" / "benchmarks" / "drivers" / f"{module}.py"
        code = "import runpy, sys; runpy.run_path(sys.argv.pop(1), {}, '__main__')"
        return [self.python, "-c", code, file, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes, in which Python finds the modules of this copy."""
        return {**_ENVIRONMENT, "HYPERPAGE_LOG_LEVEL": "ERROR", "PYTHONPATH": str(self.root)}


class Served(NamedTuple):
    """A running server: its address, and the ids of its processes by part (`service`, `broker`)."""

    url: str
    processes: dict[str, list[int]]
    http_url: str | None = None


@contextmanager
def service_on(
    checkout: Checkout,
    folder: Path,
    options: Sequence[str] = ("--no-http",),
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Served]:
    """A service with its own nats-server, everything on that is on by default but HTTP."""
    runtime = folder / "runtime.json"
    command = checkout.command("ops.cli", "serve", "--data", folder, "--nats-port", "0", *options)
    environment = checkout.environment | {
        f"HYPERPAGE_{name.upper()}": value for name, value in settings.items()
    }
    with started(command, cwd=checkout.root, env=environment) as process:

        def said() -> dict[str, str] | None:
            found = json.loads(runtime.read_text()) if runtime.exists() else {}
            return found if found.get("pid") == process.pid else None

        there = wait_for(said, "the service", process)
        broker = children(process.pid, named="nats-server")
        processes = {"service": [process.pid], "broker": broker}
        yield Served(there["nats_url"], processes, there.get("http_url"))


@contextmanager
def nats_server_on(checkout: Checkout, folder: Path, configuration: str = "") -> Iterator[Served]:
    """A nats-server that belongs to no service; `configuration` in its own words."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "nats.conf"
    file.write_text(
        f'host: "127.0.0.1"\nport: -1\nports_file_dir: "{folder}"\nlog_file: "{folder}/log"\n{configuration}'
    )
    with started([checkout.python.parent / "nats-server", "-c", file]) as process:

        def ports() -> str:
            return "".join(one.read_text() for one in folder.glob("*.ports"))

        wait_for(lambda: ports().strip().endswith("}"), "nats-server", process)
        yield Served(json.loads(ports())["nats"][0], {"broker": [process.pid]})


@contextmanager
def nats_cluster_on(checkout: Checkout, folder: Path) -> Iterator[list[Served]]:
    """Three nats-servers in a cluster with JetStream, once each has caught up with the others."""
    ports = _free_ports(2 * 3)
    listening, monitoring = ports[:3], ports[3:]
    routes = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in listening)
    with ExitStack() as stack:
        servers = []
        for number in range(3):
            own = folder / f"nats-{number}"
            configuration = (
                f'server_name: "n{number}"\nhttp: "127.0.0.1:{monitoring[number]}"\n'
                f'jetstream {{ store_dir: "{own}/jetstream" }}\n'
                f'cluster {{ name: "bench", listen: "127.0.0.1:{listening[number]}", routes: [{routes}] }}\n'
            )
            servers.append(stack.enter_context(nats_server_on(checkout, own, configuration)))
        for port in monitoring:
            wait_for(partial(_is_healthy, port), "a cluster of nats-servers")
        yield servers


def _is_healthy(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


@contextmanager
def idle_responder_on(checkout: Checkout, folder: Path) -> Iterator[Served]:
    """A responder that does nothing, on a nats-server of its own: it shows what the bus alone takes."""
    with nats_server_on(checkout, folder) as server:
        command = checkout.driver("idle_responder", server.url, IDLE_SUBJECT)
        options = {"cwd": checkout.root, "env": checkout.environment, "stdout": subprocess.PIPE}
        with started(command, **options) as process:
            assert process.stdout is not None
            assert process.stdout.readline(), "the idle responder ended"
            yield Served(server.url, {"service": [process.pid], **server.processes})

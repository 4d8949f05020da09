"""A nats-server as an operator runs it, with any configuration; a test starts and ends it."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bus.broker.server import find_nats_server
from tests.support.patience import until, wait_for
from tests.support.services.certificates import Issued


class OutsideNats:
    """One process on one port; `folder` has its configuration and its log."""

    def __init__(self, folder: Path, *, port: int = -1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port
        self.log = folder / "nats-server.log"
        self._settings: Mapping[str, Any] = {}
        self._more = ""
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, settings: Mapping[str, Any], *, more: str = "") -> None:
        """Writes the configuration: `settings` in JSON, and `more` in nats-server's own words."""
        self._settings, self._more = settings, more
        own = {
            "host": "127.0.0.1",
            "port": self.port,
            "ports_file_dir": str(self.folder),
            "log_file": str(self.log),
            **settings,
        }
        lines = [f"{name}: {json.dumps(value)}" for name, value in own.items()]
        (self.folder / "nats.conf").write_text("\n".join([*lines, more]))

    async def start(self) -> None:
        """Starts it, on the same port as before if there was one; it listens when this returns."""
        self.configure(self._settings, more=self._more)
        for report in self.folder.glob("*.ports"):
            report.unlink()
        command = [str(find_nats_server()), "--config", str(self.folder / "nats.conf")]
        self._process = subprocess.Popen(  # noqa: ASYNC220 - ends at a fork
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        await until(lambda: self._has_ended() or self._reported())
        assert not self._has_ended(), self.said()
        self.port = int(self._reported()["nats"][0].rpartition(":")[2])

    def reload(self) -> None:
        """Makes it read its configuration again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def freeze(self) -> None:
        """Stops the process with its connections open; `stop` still ends it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.communicate)
            self._process = None

    def said(self) -> str:
        """The reason why it does not run, or its log."""
        if self._process is not None and self._has_ended():
            return self._process.communicate()[1].decode() + self.logged()
        return self.logged()

    def logged(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    @property
    def route(self) -> str:
        """The address for other servers of its cluster."""
        return f"nats-route://127.0.0.1:{self._reported()['cluster'][0].rpartition(':')[2]}"

    def _has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _reported(self) -> dict[str, list[str]]:
        for report in self.folder.glob("*.ports"):
            content = report.read_text()
            if content.endswith("}"):
                found: dict[str, list[str]] = json.loads(content)
                return found
        return {}


@asynccontextmanager
async def outside_nats(
    folder: Path, settings: Mapping[str, Any], *, port: int = -1, more: str = ""
) -> AsyncIterator[OutsideNats]:
    """A nats-server for the length of the block."""
    server = OutsideNats(folder, port=port)
    server.configure(settings, more=more)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


def tls(issued: Issued, *, clients: Path | None = None) -> dict[str, Any]:
    """The block of a configuration for TLS 1.3, and for clients' certificates of that authority."""
    block: dict[str, Any] = {
        "cert_file": str(issued.certificate),
        "key_file": str(issued.key),
        "min_version": "1.3",
    }
    return block if clients is None else block | {"ca_file": str(clients), "verify": True}


@contextmanager
def stock_nats_server(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A nats-server with the default configuration, and its address."""
    ports = folder / "ports"
    ports.mkdir(parents=True)
    options = ("-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(folder), "--ports_file_dir", str(ports))
    with subprocess.Popen([str(find_nats_server()), *options], stderr=subprocess.DEVNULL) as server:
        try:
            found = wait_for(lambda: [one for one in ports.glob("*.ports") if one.read_text().strip()])
            yield server, json.loads(found[0].read_text())["nats"][0]
        finally:
            server.kill()

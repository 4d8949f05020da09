"""`hyperpage cluster run`: three nats-servers and three members on this machine, to try out a cluster."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from ops.cli.terminal.exits import Exit, failure, usage_failure
from ops.cli.terminal.options import AGGREGATES, option
from ops.cli.terminal.output import say

# A process that ends by itself is started again after this time, as a supervisor does it.
RESTART_SECONDS = 1.0
# The time that processes have to end; members finish their commands first.
STOP_SECONDS = 30.0
MOST_MEMBERS = 9
SERVERS = 3
LOOPBACK = "127.0.0.1"


class _Ports(msgspec.Struct):
    """The ports of the cluster, which stay the same from run to run."""

    clients: list[int]
    routes: list[int]
    http: list[int]

    def of_nats(self, member: int) -> list[int]:
        """The ports of all nats-servers, in the order in which a member tries them: its own number first."""
        first = member % len(self.clients)
        return self.clients[first:] + self.clients[:first]


def run(
    *,
    members: Annotated[int, option("How many members there are. Default: 3.")] = 3,
    data: Annotated[
        Path, option("The folder of the cluster, with one for each process. Default: ./cluster.")
    ] = Path("cluster"),
) -> None:
    """Runs a cluster on this machine until Ctrl-C, to try it out: three nats-servers, and members a, b, c.

    For example:

        hyperpage cluster run
        hyperpage send jobs.enqueue '{"type": "sync", "name": "acme/site"}' --data cluster/a
        kill -9 the process of the member that leads, and send another one

    Each line of output begins with the name of its process. A process that ends
    is started again a second later. On one machine, a cluster survives the loss
    of a process, but not of the machine; docs/cluster.md has one that does.
    """
    if not 1 <= members <= MOST_MEMBERS:
        raise usage_failure(f"there can be 1 to {MOST_MEMBERS} members", "take 3")
    try:
        asyncio.run(_Run(data.absolute(), members).until_stopped())
    except OSError as error:
        from ops.store.troubles import hint_of, message_of

        raise failure(
            Exit.FAILED, "failed", f"the cluster cannot run: {message_of(error)}", hint_of(error)
        ) from error


class _Run:
    """The processes of one run."""

    def __init__(self, folder: Path, members: int) -> None:
        self._folder = folder
        self._names = [chr(ord("a") + number) for number in range(members)]
        self._stopping = asyncio.Event()
        self._processes: dict[str, Process] = {}

    async def until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        self._folder.mkdir(parents=True, exist_ok=True)
        ports = _ports_of(self._folder, len(self._names))
        servers = [
            asyncio.create_task(self._kept_running(f"n{number}", self._server(number, ports), {}))
            for number in range(SERVERS)
        ]
        members = [
            asyncio.create_task(
                self._kept_running(
                    name,
                    [sys.executable, "-m", "ops.cli", "serve"],
                    self._settings(name, ports.http[number], ports.of_nats(number)),
                )
            )
            for number, name in enumerate(self._names)
        ]
        say(f"members {', '.join(self._names)} in {self._folder}; Ctrl-C ends all of them")
        await self._stopping.wait()
        # The members end first: they still publish events to the nats-servers.
        await self._end(self._names, members)
        await self._end([f"n{number}" for number in range(SERVERS)], servers)

    def _server(self, number: int, ports: _Ports) -> list[str]:
        from bus.broker.server import find_nats_server

        folder = self._folder / f"n{number}"
        folder.mkdir(exist_ok=True)
        settings = {
            "server_name": f"n{number}",
            "host": LOOPBACK,
            "port": ports.clients[number],
            # The values of ops/deploy/nats-cluster.conf, which gives the reasons.
            "ping_interval": "1s",
            "ping_max": 2,
            "jetstream": {"store_dir": str(folder / "jetstream"), "sync_interval": "always"},
            "cluster": {
                "name": "hyperpage",
                "listen": f"{LOOPBACK}:{ports.routes[number]}",
                "routes": [f"nats-route://{LOOPBACK}:{port}" for port in ports.routes],
            },
        }
        configuration = folder / "nats-server.conf"
        configuration.write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=1))
        return [str(find_nats_server()), "--config", str(configuration)]

    def _settings(self, name: str, http: int, nats: list[int]) -> dict[str, str]:
        return {
            AGGREGATES: os.environ.get(AGGREGATES, ""),
            "HYPERPAGE_DATA": str(self._folder / name),
            "HYPERPAGE_NATS": ",".join(f"nats://{LOOPBACK}:{port}" for port in nats),
            "HYPERPAGE_HTTP": f"{LOOPBACK}:{http}",
            "HYPERPAGE_MEMBER": name,
            "HYPERPAGE_REPLICATION": "sync",
            "HYPERPAGE_REPLICATION_REPLICAS": str(SERVERS),
            "HYPERPAGE_BACKUPS": str(self._folder / "backups"),
            "HYPERPAGE_ARCHIVE": str(self._folder / "archive"),
        }

    async def _kept_running(self, name: str, command: list[str], settings: dict[str, str]) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HYPERPAGE_")}
        while not self._stopping.is_set():
            # In a process group of its own, so that Ctrl-C at the terminal reaches this process alone.
            process = await asyncio.create_subprocess_exec(
                *command, stdout=PIPE, stderr=STDOUT, env=environment | settings, start_new_session=True
            )
            self._processes[name] = process
            if self._stopping.is_set():
                # The process started while all others were being ended.
                process.terminate()
            assert process.stdout is not None
            async for line in process.stdout:
                print(f"{name} | {line.decode(errors='replace')}", end="", flush=True)
            code = await process.wait()
            if not self._stopping.is_set():
                say(f"{name} ended with {code}, and is started again")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), RESTART_SECONDS)

    async def _end(self, names: list[str], tasks: list["asyncio.Task[None]"]) -> None:
        for name in names:
            with suppress(ProcessLookupError, KeyError):
                self._processes[name].terminate()
        _, left = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for name in names if left else ():
            with suppress(ProcessLookupError, KeyError):
                self._processes[name].kill()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ports_of(folder: Path, members: int) -> _Ports:
    """The ports of the last run, and free ones for those that are missing; kept for the next run."""
    kept = folder / "ports.json"
    ports = _Ports([], [], [])
    with suppress(FileNotFoundError, msgspec.DecodeError):
        ports = msgspec.json.decode(kept.read_bytes(), type=_Ports)
    for some, count in ((ports.clients, SERVERS), (ports.routes, SERVERS), (ports.http, members)):
        some.extend(_free_ports(count - len(some)))
    kept.write_bytes(msgspec.json.encode(ports))
    return ports


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found

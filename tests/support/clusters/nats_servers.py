"""Three nats-servers in a cluster, each of which a test can kill, freeze, start again and wipe.

    async with Cluster(folder) as cluster:
        async with cluster.connected() as relay:
            ...
        cluster.servers[0].kill()
        await cluster.heal()

They have the accounts and users that `hyperpage nats-config` writes, with passwords. Nothing here belongs to
an event loop, so that all tests of a file may share one, each in a loop of its own. On Linux the servers end
with the thread that started them. Without the leader of a stream, that is without one for 4 to 10 seconds.
"""

import asyncio
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
from nats.errors import Error as NatsError

from bus.broker.accounts import server_configuration
from bus.broker.server import find_nats_server
from bus.broker.tether import tethered
from bus.broker.users import ADMIN, APP, RELAY, USERS, BrokerUser, private_inbox
from bus.transport.jetstream import JetStreamError
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from tests.support.patience import until

# Below the ports that the kernel gives away, so that a server that is started again gets its own again.
_PORTS = range(20_000, 32_000)
# A request that arrives while the cluster has no leader is never answered, so it is soon sent again.
_ANSWERED_WITHIN_SECONDS = 0.25
# Usually one or two seconds; an election without a winner is repeated after 4 to 9.
_READY_WITHIN_SECONDS = 60.0
_PASSWORD = "for-tests-alone"
_T = TypeVar("_T")


class ClusteredServer:
    """One nats-server. `name` is the one that JetStream calls it by."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.port = self.route_port = self.monitoring_port = 0
        self.is_frozen = False
        self._configuration = folder / "nats.conf"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """True if there is a process, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        file = self.folder / "nats-server.log"
        return file.read_text() if file.exists() else ""

    def configure(self, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._configuration.write_bytes(content)

    def start(self) -> None:
        """Starts it, on its files and ports; it need not listen yet when this returns."""
        assert not self.is_running
        command = [str(find_nats_server()), "--config", str(self._configuration)]
        self._process = subprocess.Popen(
            tethered(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.is_frozen = False

    def kill(self) -> None:
        """As `kill -9`; it is gone when this returns."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process, self.is_frozen = None, False

    def freeze(self) -> None:
        """Stops the process, with its connections open."""
        self._signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        """Lets the process go on."""
        self._signal(signal.SIGCONT)
        self.is_frozen = False

    def wipe(self) -> None:
        """Removes the files of a killed server, which comes back as one that never was a member."""
        assert not self.is_running
        shutil.rmtree(self.folder / "jetstream", ignore_errors=True)

    def is_healthy(self) -> bool:
        """True if it has caught up with the others, in all of its streams."""
        try:
            with urlopen(f"http://127.0.0.1:{self.monitoring_port}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, HTTPException, OSError):
            return False

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class Cluster:
    """The servers, from `start` to `stop`. `users` are users beside the service's own."""

    def __init__(
        self,
        folder: Path,
        *,
        names: BusNames | None = None,
        users: Sequence[BrokerUser] = (),
        count: int = 3,
    ) -> None:
        self.names = names or BusNames()
        self.servers = [ClusteredServer(f"n{number}", folder / f"n{number}") for number in range(count)]
        application = [_with_password(name) for name in (APP, ADMIN)]
        self._users = [*application, *users]

    async def start(self) -> None:
        """Returns when streams of as many replicas as there are servers can be made."""
        while True:
            self._configure()
            for server in self.servers:
                server.start()
            try:
                await until(self._listens_or_ended, _READY_WITHIN_SECONDS)
                break
            except _PortTakenError:
                await self.stop()
        await until(self._makes_streams, _READY_WITHIN_SECONDS)

    async def stop(self) -> None:
        for server in self.servers:
            server.kill()

    async def heal(self) -> None:
        """Starts or thaws all servers; returns when each has caught up."""
        for server in self.servers:
            if server.is_frozen:
                server.thaw()
            if not server.is_running:
                server.start()
        for server in self.servers:
            await self.caught_up(server)

    async def caught_up(self, server: ClusteredServer) -> None:
        """Returns when a server that runs has all that the others have."""
        await until(lambda: asyncio.to_thread(server.is_healthy), _READY_WITHIN_SECONDS)

    def urls_for(self, user: str = RELAY) -> list[str]:
        """The address of each server, with a user's login."""
        return [f"nats://{user}:{_PASSWORD}@127.0.0.1:{server.port}" for server in self.servers]

    @asynccontextmanager
    async def connected(self, user: str = RELAY, *, to: int | None = None) -> AsyncIterator[LeanClient]:
        """A connection as a service has it, to any running server; the one numbered `to` is tried first."""
        urls = self.urls_for(user)
        if to is not None:
            urls = [urls[to], *(url for url in urls if url != urls[to])]
        connection = LeanClient()
        await connection.connect(
            urls,
            inbox_prefix=private_inbox(user).encode(),
            dont_randomize=to is not None,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,  # type: ignore[arg-type]  # takes fractions, too
            connect_timeout=1,
            # A frozen server sends nothing, so pings have to notice it.
            ping_interval=1,
            max_outstanding_pings=2,
            error_cb=_ignored,
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def leader_of(self, stream: str, connection: LeanClient) -> ClusteredServer:
        """The server that leads a stream, once there is one."""
        found: list[str] = []

        async def is_led() -> bool:
            report = await _asked(connection, f"$JS.API.STREAM.INFO.{stream}", {})
            name = report.get("cluster", {}).get("leader")
            found.extend([name] if name else [])
            return bool(name)

        await until(is_led, _READY_WITHIN_SECONDS)
        return next(server for server in self.servers if server.name == found[-1])

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _configure(self) -> None:
        ports = iter(_free_ports(3 * len(self.servers)))
        for server in self.servers:
            server.port, server.route_port, server.monitoring_port = next(ports), next(ports), next(ports)
        routes = [f"nats-route://127.0.0.1:{server.route_port}" for server in self.servers]
        passwords = dict.fromkeys(USERS, _PASSWORD)
        for server in self.servers:
            settings: dict[str, Any] = {
                "server_name": server.name,
                "host": "127.0.0.1",
                "port": server.port,
                # More patient than ops/deploy/nats-cluster.conf, which says why: the loop of a test, in which
                # services and applications are, may stand still for seconds.
                "ping_interval": "3s",
                "ping_max": 2,
                "http": f"127.0.0.1:{server.monitoring_port}",
                "log_file": str(server.folder / "nats-server.log"),
                "jetstream": {"store_dir": str(server.folder / "jetstream")},
                "cluster": {
                    "name": "ours",
                    "listen": f"127.0.0.1:{server.route_port}",
                    "routes": routes,
                    # The default (three connections to each, one for each account) is no use on one machine.
                    "pool_size": -1,
                },
            }
            server.configure(server_configuration(self.names, passwords, self._users, settings))

    def _listens_or_ended(self) -> bool:
        if ended := [server for server in self.servers if not server.is_running]:
            if any("address already in use" in server.log for server in ended):
                raise _PortTakenError
            raise AssertionError(ended[0].log or "it wrote no log")
        return all(_answers(server.port) for server in self.servers)

    async def _makes_streams(self) -> bool:
        config = {
            "name": "PROBE",
            "subjects": ["probe"],
            "num_replicas": len(self.servers),
            "storage": "memory",
        }
        async with self.connected() as connection:
            made = await _asked(connection, "$JS.API.STREAM.CREATE.PROBE", config)
            gone = await _asked(connection, "$JS.API.STREAM.DELETE.PROBE", {})
            return "config" in made and bool(gone.get("success"))


async def answered(ask: Callable[[], Awaitable[_T]]) -> _T:
    """What JetStream answers; it is asked again while it does not, since a leader may be missing for seconds.

    So `ask` must be a request that may be made twice.
    """
    found: list[_T] = []

    async def is_answered() -> bool:
        try:
            found.append(await ask())
        except (JetStreamError, NatsError):
            return False
        return True

    await until(is_answered, _READY_WITHIN_SECONDS)
    return found[0]


class _PortTakenError(Exception):
    """Another program has taken a port that was free before."""


async def _asked(connection: LeanClient, subject: str, request: dict[str, Any]) -> dict[str, Any]:
    """JetStream's answer; empty if there is none."""
    try:
        answer = await connection.request(
            subject, msgspec.json.encode(request), timeout=_ANSWERED_WITHIN_SECONDS
        )
    except NatsError:
        return {}
    found: dict[str, Any] = msgspec.json.decode(answer.data)
    return found


async def _ignored(_: Exception) -> None:
    """Ignores lost connections: these tests kill servers on purpose."""


def _with_password(name: str) -> BrokerUser:
    return BrokerUser(name=name, credentials=({"user": name, "password": _PASSWORD},))


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False

"""Nats-servers and members of a cluster as processes; each that ends is started again."""

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import msgspec

from bus.broker.server import find_nats_server
from bus.broker.tether import tethered
from tests.lab.clusters.networks import Network
from tests.lab.experiment import Broken
from tests.lab.machines.service_process import ENDS_WITHIN_SECONDS, ServiceProcess
from tests.lab.machines.starter import Starter
from tests.support.patience import patiently, until

CLIENTS, ROUTES, MONITORING = 4222, 6222, 8222
RESTART_SECONDS = 1.0
# The most that an election, its repetition, and catching up take.
READY_WITHIN_SECONDS = patiently(30.0)


class Broker:
    """One nats-server of a cluster, on the host of its name."""

    def __init__(self, name: str, folder: Path, network: Network, peers: Sequence[str]) -> None:
        self.name = name
        self.address = network.addresses[name]
        self.url = f"nats://{self.address}:{CLIENTS}"
        self._folder = folder / name
        self._namespace = network.namespace(name)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder.mkdir()
        settings = {
            "server_name": name,
            "host": self.address,
            "port": CLIENTS,
            "http": f"{self.address}:{MONITORING}",
            "log_file": str(folder / f"{name}.log"),
            "jetstream": {"store_dir": str(self._folder / "jetstream")},
            "cluster": {
                "name": "ours",
                "listen": f"{self.address}:{ROUTES}",
                "routes": [f"nats-route://{network.addresses[one]}:{ROUTES}" for one in peers],
                "pool_size": -1,
            },
        }
        (self._folder / "nats.conf").write_bytes(msgspec.json.encode(settings))

    def launch(self) -> None:
        command = [str(find_nats_server()), "--config", str(self._folder / "nats.conf")]
        if self._namespace is not None:
            command = ["/usr/bin/nsenter", f"--net={self._namespace}", *command]
        self._process = subprocess.Popen(
            tethered(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and not self.has_ended:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kills it; returns when it is gone."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def wipe(self) -> None:
        """Removes its stored streams."""
        shutil.rmtree(self._folder / "jetstream", ignore_errors=True)

    def is_healthy(self) -> bool:
        """True if it has caught up with the others, in all of its streams."""
        try:
            with urlopen(f"http://{self.address}:{MONITORING}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, HTTPException, OSError):
            return False


class Member:
    """One member, on the host of its name, whose own nats-server is the one at `url`."""

    def __init__(self, name: str, folder: Path, url: str, network: Network, starter: Starter) -> None:
        self.name = name
        self.service = ServiceProcess(
            folder / name,
            starter=starter,
            namespace=network.namespace(name),
            variables={
                "HYPERPAGE_NATS": url,
                "HYPERPAGE_MEMBER": name,
                "HYPERPAGE_REPLICATION": "sync",
                "HYPERPAGE_REPLICATION_REPLICAS": "3",
                "HYPERPAGE_BACKUPS": str(folder / "backups"),
                "HYPERPAGE_ARCHIVE": str(folder / "archive"),
            },
        )
        self._kept = folder / f"{name}-kept"

    def launch(self) -> None:
        self.service.launch()

    @property
    def has_ended(self) -> bool:
        return self.service.has_ended

    def send(self, number: signal.Signals) -> None:
        self.service.send("service", number)

    def kill(self) -> None:
        """Kills it; returns when it is gone."""
        self.service.kill()

    def keep(self) -> None:
        """Keeps a copy of its directory for later; it must not run."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self.service.data, self._kept)

    def lose_data(self) -> None:
        """Removes its directory, and puts the copy in its place that it kept before, if there is one."""
        shutil.rmtree(self.service.data, ignore_errors=True)
        if self._kept.exists():
            shutil.move(self._kept, self.service.data)


class Supervised:
    """A process that is started again whenever it ends while it is wanted.

    `is_held`: a fault has it at the moment.
    """

    def __init__(self, process: Broker | Member) -> None:
        self.process = process
        self.name = process.name
        self.is_wanted = self.is_held = self.is_frozen = False
        self.restarts = 0

    async def keep(self) -> None:
        """Starts the process again each time that it ends, until this is cancelled."""
        while True:
            if self.is_wanted and self.process.has_ended:
                self.restarts += 1
                await asyncio.sleep(RESTART_SECONDS)
                self._run()
            await asyncio.sleep(0.05)

    def start(self) -> None:
        self.is_wanted = True
        self._run()

    def _run(self) -> None:
        if self.is_wanted and self.process.has_ended:
            self.process.launch()

    def kill(self) -> None:
        self.is_wanted = False
        self.process.kill()

    async def stop(self) -> None:
        """Stops it as an operator does.

        Raises:
            Broken: it does not end.
        """
        self.is_wanted = False
        self.process.send(signal.SIGTERM)
        try:
            await until(lambda: self.process.has_ended, ENDS_WITHIN_SECONDS)
        except TimeoutError:
            raise Broken(f"{self.name} does not end within {ENDS_WITHIN_SECONDS:g} s") from None

    def freeze(self) -> None:
        self.is_frozen = True
        self.process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.is_frozen = False
        self.process.send(signal.SIGCONT)


class Cluster:
    """Three nats-servers and three members, from `start` to `stop`."""

    def __init__(self, folder: Path, network: Network, starter: Starter) -> None:
        self.network = network
        names = [name for name in network.addresses if name.startswith("n")]
        brokers = [Broker(name, folder, network, names) for name in names]
        self.brokers = [Supervised(one) for one in brokers]
        self.members = [
            Supervised(Member(name, folder, brokers[number].url, network, starter))
            for number, name in enumerate(one for one in network.addresses if not one.startswith("n"))
        ]
        self._keeping: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        """The address of the first nats-server."""
        assert isinstance(self.brokers[0].process, Broker)
        return self.brokers[0].process.url

    @property
    def processes(self) -> list[Supervised]:
        return [*self.brokers, *self.members]

    @property
    def services(self) -> list[ServiceProcess]:
        return [one.process.service for one in self.members if isinstance(one.process, Member)]

    async def start(self) -> None:
        """Starts all; they run when this returns, and a member will soon lead."""
        for one in self.brokers:
            one.start()
        await self.brokers_are_well()
        for one in self.members:
            one.start()
        self._keeping = [asyncio.create_task(one.keep()) for one in self.processes]

    async def brokers_are_well(self) -> None:
        """Returns when each nats-server has all that the others have.

        Raises:
            TimeoutError: some have not; the message says which.
        """
        for one in self.brokers:
            assert isinstance(one.process, Broker)
            healthy: Callable[[], bool] = one.process.is_healthy
            try:
                await until(lambda healthy=healthy: asyncio.to_thread(healthy), READY_WITHIN_SECONDS)  # type: ignore[misc]
            except TimeoutError:
                raise TimeoutError(f"{one.name} does not catch up") from None

    async def stop(self) -> None:
        """Kills all that run."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        for one in self.processes:
            with suppress(ProcessLookupError):
                one.kill()


def since(began: float) -> float:
    """The seconds since a time of the monotonic clock."""
    return time.monotonic() - began

"""The settings of a run, for every subject: the folder, the rounds, and the length of a long history."""

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.core.checkout import Checkout, Served, idle_responder_on, service_on
from tests.benchmarks.core.driving import Driver, driver
from tests.benchmarks.peers.environment import NotHereError, environment_with
from tests.benchmarks.peers.servers import MOST_CONNECTIONS, jetstream_on, postgresql_on, umadb_on


class Bench(NamedTuple):
    """One run: `folder` is empty at first, and on the disk that is measured."""

    folder: Path
    seconds: float = 1.0
    rounds: int = 5
    events: int = 200_000

    def service(self, name: str = "service") -> AbstractContextManager[Served]:
        """A service of this copy on a folder of that name."""
        return service_on(Checkout.here(), self.folder / name)

    def idle(self) -> AbstractContextManager[Served]:
        return idle_responder_on(Checkout.here(), self.folder / "idle")


class Peers:
    """Clients of other products' servers, started by `enter`; `missing` says why one can't be had here."""

    def __init__(self, bench: Bench, stack: ExitStack) -> None:
        self._folder = bench.folder / "peers"
        self._folder.mkdir(exist_ok=True)
        self._stack = stack
        self.sides: dict[str, Driver] = {}
        self.missing: dict[str, NotHereError] = {}

    def enter(self, *names: str) -> "Peers":
        """Starts the peers of these names: `UmaDB`, `PostgreSQL`, `JetStream`, `eventsourcing`."""
        for name in names:
            try:
                self.sides[name] = self._stack.enter_context(self._driver(name))
            except NotHereError as error:
                self.missing[name] = error
        return self

    def _driver(self, name: str) -> AbstractContextManager[Driver]:
        enter = self._stack.enter_context
        match name:
            case "UmaDB":
                server = enter(umadb_on(self._folder / "umadb"))
                return driver(environment_with("umadb"), "by_umadb", server.url)
            case "PostgreSQL":
                server = enter(postgresql_on(self._folder / "postgresql"))
                client = environment_with("asyncpg")
                return driver(client, "by_postgresql", server.url, str(MOST_CONNECTIONS))
            case "JetStream":
                server = enter(jetstream_on(self._folder / "jetstream"))
                asked = ["enqueue", "--subject", "jetstream.enqueue", "--stream", "PEER"]
                return driver(Checkout.here(), "by_nats", server.url, *asked)
            case _:
                file = self._folder / "eventsourcing.db"
                return driver(environment_with("eventsourcing"), "by_eventsourcing", file)

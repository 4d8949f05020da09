"""Loads: a kind of client, what it sends, and how many requests it keeps in flight."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.core.checkout import IDLE_SUBJECT, Checkout, Served
from tests.benchmarks.core.driving import Driver, driver

CLIENTS = ("lean", "stock", "own")


class Load(NamedTuple):
    """`client` is nats-py's `request` (`stock`), a `lean` one, or this repository's `own`.

    `kind` and `ids` are those of `tests.benchmarks.drivers.contents`; `durable` is for `own` alone.
    """

    client: str
    in_flight: int
    kind: str = "enqueue"
    ids: str = "random"

    def __str__(self) -> str:
        return f"{self.kind}, {self.client}, {self.in_flight} in flight"


def client_of(
    service: Served, load: Load, copy: Checkout | None = None, *, credentials: Path | None = None
) -> AbstractContextManager[Driver]:
    """A client of a service; `own` is the one of that copy of the repository, and may have credentials."""
    copy = copy or Checkout.here()
    asked = [service.url, load.kind, "--ids", load.ids]
    if load.client == "own":
        asked += [] if credentials is None else ["--credentials", str(credentials)]
        return driver(copy, "by_our_client", *asked, processes=service.processes)
    return driver(copy, "by_nats", *asked, "--client", load.client, processes=service.processes)


def client_of_idle(responder: Served, load: Load) -> AbstractContextManager[Driver]:
    """A client that sends the same to a responder that does nothing; a stock client in the place of `own`."""
    client = "lean" if load.client == "lean" else "stock"
    asked = [responder.url, load.kind, "--ids", load.ids, "--client", client, "--subject", IDLE_SUBJECT]
    return driver(Checkout.here(), "by_nats", *asked, processes=responder.processes)

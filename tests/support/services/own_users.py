"""Users of a running service, each with a connection as any client library makes it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from nats.aio.client import Client

from hyperpage_client.transport.nkeys import NKey
from ops.security.users import User, UserFile, rights_of
from ops.service.composition import Service
from tests.support.services.serving import broker_of

COMES_WITHIN_SECONDS = 10


async def new_user(
    service: Service,
    name: str,
    *,
    allow: tuple[str, ...] = ("*",),
    keys: tuple[str, ...] = (),
    tables: tuple[str, ...] = (),
    reads: bool = True,
    follows: bool = True,
) -> tuple[User, str]:
    """A new user, known to the service and its nats-server, and the seed of its key."""
    rights = rights_of(allow=allow, keys=keys, tables=tables, reads=reads, follows=follows)
    user, given = UserFile(service.settings.data).create(name, rights)
    await take_effect(service)
    return user, given.seed


async def take_effect(service: Service) -> None:
    """Makes the service and its nats-server use the users as they are stored now."""
    access = service.requests.stream_access
    reload, _ = service.registry.verbs(service.nats_server, lambda: None, access.drop_consumers)
    await reload.carry_out(None)


@asynccontextmanager
async def connected(service: Service | str, seed: str, **options: Any) -> AsyncIterator[Client]:
    """A client of nats-py with a user's key; `service` may be an address."""
    url = service if isinstance(service, str) else f"nats://127.0.0.1:{broker_of(service).port}"
    key = NKey(seed)
    client = Client()
    # nats-py does the same if the package `nkeys` is installed.
    client._public_nkey = key.public
    await client.connect(url, signature_cb=key.sign, connect_timeout=5, **options)
    try:
        yield client
    finally:
        # nats-py raises what its last write met if the server has cut the connection, or, in this moment,
        # CancelledError.
        try:
            with suppress(OSError):
                await client.close()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise


async def send(client: Client, name: str, body: Any, **headers: str) -> dict[str, Any]:
    """The answer to a command, or its error."""
    message = await client.request(
        f"hyperpage.cmd.v1.{name}",
        json.dumps(body).encode(),
        timeout=COMES_WITHIN_SECONDS,
        headers={f"Hyperpage-{key.replace('_', '-').title()}": value for key, value in headers.items()},
    )
    answer: dict[str, Any] = json.loads(message.data)
    return answer


async def query(client: Client, name: str, body: Any) -> dict[str, Any]:
    """The answer to a query, or its error."""
    message = await client.request(
        f"hyperpage.qry.v1.{name}", json.dumps(body).encode(), timeout=COMES_WITHIN_SECONDS
    )
    answer: dict[str, Any] = json.loads(message.data)
    return answer

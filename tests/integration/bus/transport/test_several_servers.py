"""Addresses of several nats-servers: one that is up lets the client in, and TLS is required of each."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bus.client import Unreachable
from bus.client import connect as connect_client
from hyperpage_client.transport.access import Access
from hyperpage_client.transport.connecting import NotConnectedError, connect
from hyperpage_client.transport.connection import LeanClient
from tests.support.patience import until
from tests.support.services.certificates import Authority, needs_openssl
from tests.support.services.outside_nats import OutsideNats, outside_nats, tls

SECRET = "the-password"
LOGIN = {"authorization": {"user": "app", "password": SECRET}}
SECONDS = 30.0


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port at which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def let_in(url: str, *, again: float | None = 0.05, **more: Any) -> LeanClient:
    return await connect(
        url, inbox_prefix="_INBOX", within_seconds=SECONDS, again_after_seconds=again, **more
    )


@asynccontextmanager
async def two(folder: Path) -> AsyncIterator[tuple[OutsideNats, OutsideNats]]:
    """Two nats-servers that do not know of each other."""
    async with outside_nats(folder / "one", LOGIN) as one, outside_nats(folder / "two", LOGIN) as two:
        yield one, two


def address_of(*ports: int) -> str:
    return f"nats://app:{SECRET}@" + ",".join(f"127.0.0.1:{port}" for port in ports)


def port_of(client: LeanClient) -> int | None:
    return None if client.connected_url is None else client.connected_url.port


@pytest.mark.parametrize("again", [None, 0.05])
def test_one_that_is_down_at_the_start_is_passed_over(tmp_path: Path, nobody: int, again: float | None):
    async def scenario() -> None:
        async with outside_nats(tmp_path / "nats", LOGIN) as server:
            for ports in ((nobody, server.port), (server.port, nobody)):
                client = await let_in(address_of(*ports), again=again)
                assert port_of(client) == server.port
                await client.close()
            async with connect_client(address_of(nobody, server.port)) as application:
                assert port_of(application.connection.nats) == server.port

    asyncio.run(scenario())


def test_the_first_one_that_is_up_is_taken_and_the_next_one_when_it_dies(tmp_path: Path):
    async def scenario() -> None:
        async with two(tmp_path) as (one, other):
            client = await let_in(address_of(one.port, other.port))
            assert port_of(client) == one.port
            await one.stop()
            await until(lambda: port_of(client) == other.port)
            await one.start()
            await other.stop()
            await until(lambda: port_of(client) == one.port)
            await client.close()

    asyncio.run(scenario())


def test_others_that_a_server_names_are_told_the_user_of_all(tmp_path: Path):
    def member(name: str, *routes: str) -> dict[str, Any]:
        cluster = {"name": "ours", "listen": "127.0.0.1:-1", "routes": list(routes)}
        return {"server_name": name, "cluster": cluster, **LOGIN}

    async def scenario() -> None:
        async with outside_nats(tmp_path / "one", member("one")) as one:  # noqa: SIM117 - needs the first
            async with outside_nats(tmp_path / "two", member("two", one.route)) as other:
                client = await let_in(address_of(one.port))
                await until(lambda: client.discovered_servers)
                await one.stop()
                await until(lambda: port_of(client) == other.port)
                await client.close()

    asyncio.run(scenario())


def test_one_that_stands_still_is_left_for_another(tmp_path: Path):
    async def scenario() -> None:
        async with two(tmp_path) as (one, other):
            client = await let_in(address_of(one.port, other.port), ping_interval=0.2)
            assert port_of(client) == one.port
            one.freeze()
            await until(lambda: port_of(client) == other.port)
            await client.close()
            # The frozen server still accepts connections, and sends nothing.
            client = await let_in(address_of(one.port, other.port), again=None)
            assert port_of(client) == other.port
            await client.close()

    asyncio.run(scenario())


def test_where_nobody_lets_one_in_each_one_is_told_with_its_reason(tmp_path: Path, nobody: int):
    async def scenario() -> None:
        async with outside_nats(tmp_path / "nats", LOGIN) as server:
            url = f"nats://app:{SECRET}@127.0.0.1:{nobody},nats://app:wrong@127.0.0.1:{server.port}"
            with pytest.raises(NotConnectedError) as refusal:
                await let_in(url, again=None)
            said = str(refusal.value)
            assert f"127.0.0.1:{nobody}: " in said
            assert f"127.0.0.1:{server.port}: it does not know that user" in said
            assert not {SECRET, "wrong", "app"} & set(said.replace(":", " ").split())
            assert refusal.value.hint

    asyncio.run(scenario())


@needs_openssl
def test_none_of_them_is_told_anything_without_tls(tmp_path: Path):
    authority = Authority(tmp_path / "ca")
    certificate = authority.issue("server", "/CN=localhost", use="serverAuth")
    access = Access.of(ca=authority.certificate)

    async def scenario() -> None:
        async with (
            outside_nats(tmp_path / "clear", {**LOGIN, "debug": True}) as clear,
            outside_nats(tmp_path / "tls", {"tls": tls(certificate), **LOGIN}) as server,
        ):
            both = f"tls://app:{SECRET}@localhost:{clear.port},localhost:{server.port}"
            client = await let_in(both, access=access)
            assert port_of(client) == server.port
            assert client.is_encrypted
            await server.stop()
            # Only the server without TLS is left, which would learn the password.
            await until(lambda: not client.is_connected)
            tried = clear.logged().count("Client connection created")
            await until(lambda: clear.logged().count("Client connection created") > tried + 2)
            assert not client.is_connected
            await server.start()
            await until(lambda: client.is_connected)
            assert port_of(client) == server.port
            await client.close()
            # Neither server will ever offer TLS, so the client does not try again.
            url = f"tls://app:{SECRET}@localhost:{clear.port},127.0.0.1:{clear.port}"
            with pytest.raises(NotConnectedError, match=r"offers no TLS.*offers no TLS"):
                await let_in(url, access=access)
            with pytest.raises(Unreachable, match="offers no TLS"):
                async with connect_client(url, ca=authority.certificate):
                    pass

    asyncio.run(scenario())

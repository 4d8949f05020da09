"""The HTTP server itself: where it listens."""

import asyncio
import socket
from pathlib import Path

import pytest

import ops.http.server
from ops.http.server import HttpServer
from ops.settings import Settings


def test_of_two_servers_that_begin_at_once_one_has_the_usual_port_and_the_other_a_free_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # A stand-in for 8822, which something else on this machine may use.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        usual: int = taken.getsockname()[1]
    monkeypatch.setattr(ops.http.server, "USUAL_PORT", usual)

    async def ports() -> list[int]:
        servers = [HttpServer(Settings(data=tmp_path / name)) for name in ("a", "b")]
        try:
            await asyncio.gather(*(server.start() for server in servers))
            return [server.listens_at[1] for server in servers]
        finally:
            await asyncio.gather(*(server.stop() for server in servers))

    found = asyncio.run(ports())

    assert usual in found
    assert len(set(found)) == 2

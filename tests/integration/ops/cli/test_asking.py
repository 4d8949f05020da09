"""The command line's errors when its connection ends."""

import asyncio
import socket
import struct
from pathlib import Path

import pytest

from hyperpage_client.contract.subjects import BusNames
from ops.cli.asking import Address, connected
from ops.cli.terminal.exits import CommandFailure, Exit
from tests.support.patience import until

INFO = b'INFO {"server_id":"x","headers":true,"max_payload":1048576}\r\n'


async def let_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(INFO)
    while not (await reader.readline()).startswith(b"PING"):
        pass
    writer.write(b"PONG\r\n")


def test_a_connection_that_ends_before_something_is_asked_is_told_as_a_service_that_is_away(tmp_path: Path):
    # As when a service restores: nats-server lets the command line in, and is stopped with the next breath.
    async def let_in_and_go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await let_in(reader, writer)
        writer.close()

    async def scenario() -> CommandFailure:
        async with await asyncio.start_server(let_in_and_go, "127.0.0.1", 0) as server:
            url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            address = Address(data=tmp_path, url=url, names=BusNames(), inbox_prefix="_INBOX")

            async def ask_late() -> None:
                async with connected(address) as client:
                    server.close()
                    await until(lambda: client.is_closed)
                    await client.request("hyperpage.qry.v1.service.status", b"", timeout=1)

            with pytest.raises(CommandFailure) as told:
                await ask_late()
            return told.value

    failure = asyncio.run(scenario())

    assert failure.exit_code is Exit.UNREACHABLE
    assert "ended" in failure.message


def test_a_connection_that_is_cut_off_while_it_is_made_is_made_again(tmp_path: Path):
    # As while nats-server reads its configuration again: it knows no user, and the client may see only the
    # end of the connection, without the reason.
    visitors = 0

    async def cut_off_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visitors
        visitors += 1
        if visitors == 1:
            await end_at_once(writer)
        else:
            await let_in(reader, writer)
            await reader.read()
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(cut_off_the_first, "127.0.0.1", 0) as server:
            url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            address = Address(data=tmp_path, url=url, names=BusNames(), inbox_prefix="_INBOX")
            async with connected(address) as client:
                assert client.is_connected

    asyncio.run(scenario())

    assert visitors > 1


async def end_at_once(writer: asyncio.StreamWriter) -> None:
    """Ends a connection so that the other side hears of a reset."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.write(INFO)
    await writer.drain()

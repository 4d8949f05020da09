"""The end of a connection's socket."""

import asyncio

from hyperpage_client.transport.connection import LeanClient

INFO = b'INFO {"server_id":"x","headers":true,"max_payload":1048576}\r\n'


def test_who_is_cancelled_while_a_connection_ends_cancels_nobody_else_who_waits_for_it():
    # The server cuts the connection at the moment at which the client closes it.
    async def let_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async def scenario() -> bool:
        async with await asyncio.start_server(let_in, "127.0.0.1", 0) as server:
            client = LeanClient()
            await client.connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            assert client._transport is not None
            waiting = asyncio.create_task(client._transport.wait_closed())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await client.close()
            return client.is_closed

    assert asyncio.run(scenario())

"""A TCP link between two programs, on the loopback, which can be made to fail: `Link`."""

import asyncio
import contextlib
from typing import Self

PORTION_BYTES = 65_536


class Link:
    """Listens on a free port, and forwards bytes to another port, and back. `async with` ends it."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._is_cut = False
        # Set while requests are forwarded, and answers.
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def heal(self) -> None:
        """Forwards everything again, also what was held."""
        self._is_cut = False
        self._there.set()
        self._back.set()

    def hold(self, *, there: bool = True, back: bool = True) -> None:
        """Accepts bytes and forwards none, in one direction or in both."""
        self.heal()
        if there:
            self._there.clear()
        if back:
            self._back.clear()

    def cut(self) -> None:
        """Ends all connections, and refuses new ones."""
        self._is_cut = True
        for writer in self._open:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self.heal()
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        target = None
        try:
            if not self._is_cut:
                answers, target = await asyncio.open_connection("127.0.0.1", self._target_port)
                self._open.add(target)
                await asyncio.wait(
                    [
                        asyncio.create_task(_pump(reader, target, self._there)),
                        asyncio.create_task(_pump(answers, writer, self._back)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
        except OSError:
            """Nobody is there: neither is it."""
        finally:
            for one in (writer, target):
                if one is not None:
                    self._open.discard(one)
                    one.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, carries: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while portion := await reader.read(PORTION_BYTES):
            await carries.wait()
            writer.write(portion)
            await writer.drain()

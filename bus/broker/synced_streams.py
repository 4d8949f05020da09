"""What describes the streams of the embedded nats-server is on disk soon after it is written.

nats-server syncs messages, and leaves it to the system when `meta.inf` and `meta.sum` are written. After a
power cut, on XFS above all, a stream that was made within some fifteen seconds may not be known any more.
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg

from bus.kept_files import sync_folder

# nats-server tells of a change just before it writes the file, and several often come together.
PAUSE_SECONDS = 0.2
_TOLD_OF = ("$JS.EVENT.ADVISORY.STREAM.CREATED.>", "$JS.EVENT.ADVISORY.STREAM.UPDATED.>")

logger = logging.getLogger(__name__)


class SyncedStreams:
    """Syncs what describes the streams in the folder of a nats-server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed = asyncio.Event()

    async def watch(self, connection: Client) -> None:
        """Hears of streams that are made and changed from now on, over a connection of their account."""
        for subject in _TOLD_OF:
            await connection.subscribe(subject, cb=self._note)

    async def run(self) -> None:
        """Syncs after each change, for ever."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            self._changed.clear()
            await self.sync()

    async def sync(self) -> None:
        """Returns when all that is described there is on disk, or cannot be."""
        try:
            await asyncio.to_thread(self._sync)
        except OSError as error:
            logger.warning("what describes the streams may not be on disk yet: %s", error)

    async def _note(self, _: Msg) -> None:
        self._changed.set()

    def _sync(self) -> None:
        folders = {self._folder}
        for path in self._described():
            # A stream may be deleted meanwhile.
            with suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            folders |= {one for one in path.parents if self._folder in one.parents}
        for folder in folders:
            with suppress(FileNotFoundError):
                sync_folder(folder)

    def _described(self) -> Iterator[Path]:
        for name in ("meta.inf", "meta.sum"):
            yield from self._folder.glob(f"jetstream/*/streams/*/{name}")

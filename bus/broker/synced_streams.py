"""What the embedded nats-server leaves to the system to write is on disk soon after it is written.

It syncs messages, but not `meta.inf` and `meta.sum`: after a power cut, on XFS above all, a stream that was
made within some fifteen seconds may not be known any more. And nobody syncs what it wrote in the second
before its end: the next one syncs how far the streams are, and a power cut may take the messages alone.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg

from bus.kept_files import sync_folder

# nats-server tells of a change just before it writes the file, and several often come together.
PAUSE_SECONDS = 0.2
# How long after one that failed the next sync is tried.
AGAIN_SECONDS = 10.0
# What is older was written by the system, which waits for half a minute.
LATELY_SECONDS = 3_600
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
        """Syncs after each change, until that succeeds, for ever."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            self._changed.clear()
            if not await self.sync():
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._changed.set)

    async def sync(self) -> bool:
        """Whether all that is described there is on disk when this returns."""
        return await self._synced("what describes the streams", self._described)

    async def sync_messages(self) -> None:
        """Returns when what a nats-server that has ended left of messages is on disk, or cannot be."""
        await self._synced("the newest messages of streams", self._written_lately)

    async def _note(self, _: Msg) -> None:
        self._changed.set()

    async def _synced(self, what: str, paths: Callable[[], Iterable[Path]]) -> bool:
        try:
            await asyncio.to_thread(self._sync, paths)
        except OSError as error:
            logger.warning("%s may not be on disk yet: %s", what, error)
            return False
        return True

    def _sync(self, paths: Callable[[], Iterable[Path]]) -> None:
        folders = {self._folder}
        for path in paths():
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

    def _written_lately(self) -> Iterator[Path]:
        since = time.time() - LATELY_SECONDS
        for path in self._folder.glob("jetstream/*/streams/*/msgs/*.blk"):
            if path.stat().st_mtime > since:
                yield path

"""`SyncedStreams`: syncs files of the embedded nats-server that it does not sync itself.

nats-server syncs messages, but not `meta.inf` and `meta.sum`: after a power cut, above all on XFS, a stream
that was made in the last fifteen seconds may be unknown. Nor are the messages synced that it wrote in the
second before its end. The next nats-server syncs how far the streams are, and a power cut may then lose the
messages alone.
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

# The pause before a sync. nats-server announces a change just before it writes the file, and several changes
# often come together.
PAUSE_SECONDS = 0.2
# The pause before the next try after a sync that failed.
AGAIN_SECONDS = 10.0
# Files that were not changed for longer are on disk: the system writes them within half a minute.
LATELY_SECONDS = 3_600
_TOLD_OF = ("$JS.EVENT.ADVISORY.STREAM.CREATED.>", "$JS.EVENT.ADVISORY.STREAM.UPDATED.>")

logger = logging.getLogger(__name__)


class SyncedStreams:
    """Syncs the descriptions of the streams in the folder of a nats-server, and its last messages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed = asyncio.Event()

    async def watch(self, connection: Client) -> None:
        """Notes streams that are made or changed from now on, over a connection of their account."""
        for subject in _TOLD_OF:
            await connection.subscribe(subject, cb=self._note)

    async def run(self) -> None:
        """Syncs after each change, again and again until it succeeds; runs for ever."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            self._changed.clear()
            if not await self.sync():
                asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._changed.set)

    async def sync(self) -> bool:
        """Syncs the descriptions of all streams; true if they are on disk."""
        return await self._synced("what describes the streams", self._described)

    async def sync_messages(self) -> None:
        """Syncs the last messages of a nats-server that has ended; a failure is only logged."""
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

"""Deletes messages of the log that no member needs any more: `Trimming`.

These are the events that every live member has, and that are also in the newest proven backup that all
members reach: a new member starts from that backup. Without one, the log keeps everything.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

import apsw

from bus.log.reader_pool import ReaderPool
from bus.replication.log_stream import LogStream
from ops.backup.metadata import Backup, list_backups
from ops.service.roles.sharing import Sharing, newest_of_log
from ops.settings import Settings

# How often the leader looks; a backup is made every hour, and proven once a day.
LOOK_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Trimming:
    """Trims the log for the leader. `positions` gives the positions of all live members.

    `readers` read the file, which has all events of the log; `timeline` is that of both. With `sharing`, the
    backup on the nats-servers counts.
    """

    def __init__(
        self,
        settings: Settings,
        log: LogStream,
        readers: ReaderPool,
        timeline: int,
        positions: Callable[[], Awaitable[Iterable[int]]],
        sharing: Sharing | None = None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._readers = readers
        self._timeline = timeline
        self._positions = positions
        self._sharing = sharing

    async def run(self) -> None:
        """Trims again and again, until it is cancelled. After errors, the log keeps more than it must."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.trim()
            except (RuntimeError, OSError, apsw.Error) as error:
                logger.debug("the log keeps what it has: %s", error)

    async def trim(self) -> int:
        """Trims the log once; gives the number of deleted messages.

        Raises:
            JetStreamError, LogStreamError, FrameError: the log or the members cannot be seen.
            ClusterError: the backups on the nats-servers are another store's.
            OSError: the folder of backups cannot be read, or the bucket is away.
        """
        if self._sharing is not None:
            backup = await self._sharing.share()
        else:
            backup = await asyncio.to_thread(self._newest_proven)
        if backup is None:
            return 0
        position = min([backup.metadata.position, *await self._positions()])
        dropped = await self._log.drop_before(position)
        if dropped:
            logger.info(
                "%d messages of the log have gone, up to position %d: %s has them",
                dropped,
                position,
                backup.name,
            )
        return dropped

    def _newest_proven(self) -> Backup | None:
        settings = self._settings
        backups = list_backups(settings.backup_folder, self._log.store_id, settings.signing)
        return newest_of_log(backups, self._readers, self._timeline)

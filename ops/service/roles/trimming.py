"""What of the log nobody needs any more, goes: `Trimming`.

It is what the newest proven backup has that all members reach, and every member that is live: whoever comes
later begins with that backup. Without one, everything stays.
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
    """Used by the one that leads. `positions` answers with those of the live members, whoever they are.

    `readers` reads the file, which has all that the log has; `timeline` is that of both. With `sharing`, the
    backup is the one on the nats-servers.
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
        """Looks again and again, for ever. While something is wrong, the log keeps more than it must."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.trim()
            except (RuntimeError, OSError, apsw.Error) as error:
                logger.debug("the log keeps what it has: %s", error)

    async def trim(self) -> int:
        """How many messages of the log have gone.

        Raises:
            JetStreamError, LogStreamError, FrameError: the log cannot be seen, or the members cannot.
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

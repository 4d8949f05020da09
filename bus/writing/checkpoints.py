"""`Checkpoints` of the WAL. Another thread does nearly all of each, the writer only the rest.

A checkpoint copies pages from the WAL into the file, and syncs it. With random keys, nearly every page that
was written is another one, so the copies go all over the file. The writer goes on while another connection
does that, and writes more pages into the WAL. The writer copies this rest itself, between two groups; its
next transaction then begins the WAL anew. If the other connection did all of it, there would be a rest for as
long as many commands come, and the WAL would grow.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Self

import apsw

from bus.log.damage import Damage
from migrations.connection import open_checkpointer

# A checkpoint begins once this many pages of 4 KiB are in the WAL.
CHECKPOINT_PAGES = 4_000
# The most pages that the writer copies itself, unless there are `MOST_PAGES`. After a checkpoint that was not
# whole, another one begins once this many more are written.
REST_PAGES = 1_000
# With this many pages in the WAL, the writer copies all that is left: the other thread is too slow, or fails.
MOST_PAGES = 16_000

# SQLite's count of written pages begins again at 0 there.
_COUNTS = 2**32

logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of the writing connection's WAL. Used by the writer's thread; `damage` notes errors.

    The other thread runs for the length of a `with` block.
    """

    def __init__(self, connection: apsw.Connection, damage: Damage) -> None:
        self._connection = connection
        # The file is asked for now: while another thread uses the connection, even that is not allowed.
        self._open = partial(open_checkpointer, connection.filename, connection.open_vfs)
        self._damage = damage
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._running: Future[bool] | None = None
        # SQLite's count of written pages when the last checkpoint ended, and when the running one began.
        self._ended_at = self._began_at = 0
        self._pages = CHECKPOINT_PAGES

    def __enter__(self) -> Self:
        self._connection.wal_autocheckpoint(MOST_PAGES)
        self._ended_at = self._count()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        # A follower uses the same connection, and has no other thread for checkpoints.
        self._connection.wal_autocheckpoint(CHECKPOINT_PAGES)

    def go_on(self) -> None:
        """Begins or ends a checkpoint, if one is due; called between two transactions."""
        count = self._count()
        written = (count - self._ended_at) % _COUNTS
        if self._running is None:
            if written >= self._pages:
                self._begin(count)
        elif self._running.done():
            is_whole, self._running = self._running.result(), None
            rest = (count - self._began_at) % _COUNTS
            if is_whole and rest > REST_PAGES and written < MOST_PAGES:
                self._begin(count)
            else:
                self._end(count, is_whole=is_whole and self._bring(self._connection))

    def _begin(self, count: int) -> None:
        self._began_at = count
        try:
            self._running = self._thread.submit(self._bring_beside)
        except RuntimeError as error:  # no thread can be started
            self._end(count, is_whole=self._failed(error))

    def _end(self, count: int, *, is_whole: bool) -> None:
        self._ended_at = count
        self._pages = CHECKPOINT_PAGES if is_whole else REST_PAGES

    def _bring_beside(self) -> bool:
        try:
            with closing(self._open()) as connection:
                return self._bring(connection)
        except Exception as error:  # it would be raised in the writer, which must survive even a defect here
            return self._failed(error)

    def _bring(self, connection: apsw.Connection) -> bool:
        """Whether all pages of the WAL are now in the file. Readers may prevent that for a while."""
        try:
            written, brought = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            # A backup makes a checkpoint just now.
            return False
        except apsw.Error as error:
            return self._failed(error)
        return written == brought

    def _failed(self, error: Exception) -> bool:
        self._damage.note(error, "a WAL checkpoint")
        logger.warning("the store's WAL could not be brought into its file, which is tried again: %s", error)
        return False

    def _count(self) -> int:
        """How many pages the writing connection has ever written."""
        return self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]

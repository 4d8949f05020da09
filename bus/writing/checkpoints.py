"""`Checkpoints` of the WAL, nearly all of each beside the writer: it does only the last bit itself.

A checkpoint brings pages from the WAL into the file, and syncs it. With random keys these are nearly as many
as were written, here and there in the file. While another connection does that, the writer goes on, so that
a rest is left at its end; the writer brings this into the file between two groups, and the WAL begins anew
with its next transaction. If the other connection did all of it, there would be a rest for as long as there
is much to do, and the WAL would grow.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Self

import apsw

from bus.log.damage import Damage
from migrations.connection import open_checkpointer

# A checkpoint begins once so many pages of 4 KiB are in the WAL.
CHECKPOINT_PAGES = 4_000
# The most that the writer brings into the file itself, and what is written until something is tried again.
REST_PAGES = 1_000
# With so many pages in the WAL, the writer brings in whatever is left: the other one is too slow, or fails.
MOST_PAGES = 16_000

# SQLite's count begins anew there.
_COUNTS = 2**32

logger = logging.getLogger(__name__)


class Checkpoints:
    """Those of the WAL of the writing connection. Used by the writer's thread; `damage` is told what is met.

    The other thread is there for the length of a `with` block.
    """

    def __init__(self, connection: apsw.Connection, damage: Damage) -> None:
        self._connection = connection
        # A connection can't even be asked for its file while another thread uses it.
        self._open = partial(open_checkpointer, connection.filename, connection.open_vfs)
        self._damage = damage
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._running: Future[bool] | None = None
        # By SQLite's count of pages written: when the last one ended, and when the one that runs began.
        self._ended_at = self._began_at = 0
        self._pages = CHECKPOINT_PAGES

    def __enter__(self) -> Self:
        self._connection.wal_autocheckpoint(MOST_PAGES)
        self._ended_at = self._count()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        # Who follows another log has the same connection, and nobody beside it.
        self._connection.wal_autocheckpoint(CHECKPOINT_PAGES)

    def go_on(self) -> None:
        """Does what is to be done between two transactions, which mostly is nothing."""
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
        except RuntimeError as error:  # no thread is to be had
            self._end(count, is_whole=self._failed(error))

    def _end(self, count: int, *, is_whole: bool) -> None:
        self._ended_at = count
        self._pages = CHECKPOINT_PAGES if is_whole else REST_PAGES

    def _bring_beside(self) -> bool:
        try:
            with closing(self._open()) as connection:
                return self._bring(connection)
        except Exception as error:  # the writer would meet it, which must outlive even a defect here
            return self._failed(error)

    def _bring(self, connection: apsw.Connection) -> bool:
        """Whether all that the WAL had is in the file, which readers may prevent for a while."""
        try:
            written, brought = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            # A backup makes one.
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

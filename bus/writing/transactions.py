"""`Transactions` of the writing connection. Steps that may take long run beside the writer's loop."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Self

import apsw

from bus.log.damage import Damage
from bus.writing.loop_thread import LoopThread
from migrations.connection import BUSY_TIMEOUT_MS, write_transaction

# A commit runs in another thread if the last one took longer: the disk may have stopped. To hand over every
# commit would cost 3 µs of processor time per command, and 100 µs for a command that is alone in its group.
QUICK_COMMIT_SECONDS = 0.1
# How long to wait between two tries for a lock that another program has.
LOCK_PAUSE_SECONDS = 0.01


class Transactions:
    """Transactions, one after the other, all begun in the loop of `thread`. `damage` notes errands' errors.

    The other thread runs for the length of a `with` block.
    """

    def __init__(self, connection: apsw.Connection, thread: LoopThread, damage: Damage) -> None:
        self._connection = connection
        self._thread = thread
        self._damage = damage
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self.commit_seconds = 0.0
        """How long the last commit took."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disk.shutdown()

    def wait_for_locks(self) -> None:
        """Makes SQLite wait for a lock of another program from now on, but never in the loop."""
        self._connection.set_busy_handler(self._is_waited_for)

    async def begin(self) -> None:
        """Opens a transaction, with the store's lock for writing.

        Raises:
            apsw.Error: the store cannot be written, or another program keeps its lock.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            # Another program has the store's lock. The loop reads messages while another thread waits for it.
            await self._beside(self._connection.execute, "BEGIN IMMEDIATE")

    async def commit(self) -> None:
        """Commits the open transaction; it is on disk then.

        Raises:
            apsw.Error: it may be on disk, or not.
        """
        if self.commit_seconds <= QUICK_COMMIT_SECONDS:
            self._connection.execute("COMMIT")
        else:
            await self._beside(self._connection.execute, "COMMIT")

    def rollback(self) -> None:
        """Takes back what was written since `begin`, if anything was."""
        # Some failures have rolled back already. If the rollback fails, so does the next BEGIN.
        if self._connection.in_transaction:
            with suppress(apsw.Error):
                self._connection.execute("ROLLBACK")

    async def run(self, errand: Callable[[apsw.Connection], Any]) -> Any:
        """The result of an errand, or its exception, which is not raised.

        The errand runs beside the loop, in a transaction of its own.
        """
        return await self._beside(self._run, errand)

    async def overwrite(self) -> None:
        """Commits something after a commit that failed.

        A commit whose fsync failed is in the WAL as a whole. SQLite ignores it, but the recovery after a
        crash would not: commands that were answered as not stored would be there. The new commit overwrites
        it.
        """
        await self.run(write_something)

    async def _beside(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    def _run(self, errand: Callable[[apsw.Connection], Any]) -> Any:
        try:
            with write_transaction(self._connection):
                return errand(self._connection)
        except Exception as error:  # it goes to the sender of the errand
            self._damage.note(error, "the writer")
            return error

    def _is_waited_for(self, attempts: int) -> bool:
        """Whether a lock of another program is tried again: `BUSY_TIMEOUT_MS` long, never in the loop."""
        if self._thread.is_current or attempts * LOCK_PAUSE_SECONDS * 1_000 >= BUSY_TIMEOUT_MS:
            return False
        time.sleep(LOCK_PAUSE_SECONDS)
        return True


def write_something(connection: apsw.Connection) -> None:
    """Finds out whether the store can be written."""
    # An UPDATE to the same value writes nothing; this writes a page.
    connection.pragma("user_version", connection.pragma("user_version"))

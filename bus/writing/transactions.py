"""`Transactions` of the writing connection: what may take long has another thread than the writer's loop."""

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

# A commit has another thread if the last one took longer: the disk may have stopped. To hand over each would
# cost a command 3 µs of the processor's time, and one that is alone 100.
QUICK_COMMIT_SECONDS = 0.1
# How often a lock is tried that another program has.
LOCK_PAUSE_SECONDS = 0.01


class Transactions:
    """One after the other, all begun in the loop of `thread`. `damage` is told what errands meet.

    The other thread is there for the length of a `with` block.
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
        """From now on, a lock of another program is waited for, but never in the loop."""
        self._connection.set_busy_handler(self._is_waited_for)

    async def begin(self) -> None:
        """Opens one, as the only one that writes.

        Raises:
            apsw.Error: the store cannot be written, or another program keeps its lock.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            # Another program has the store's lock. Messages are read while this one waits for it.
            await self._beside(self._connection.execute, "BEGIN IMMEDIATE")

    async def commit(self) -> None:
        """Has on disk what was written.

        Raises:
            apsw.Error: it may be there, or not.
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
        """What an errand answers in a transaction of its own, or its exception; beside the loop."""
        return await self._beside(self._run, errand)

    async def overwrite(self) -> None:
        """Commits something behind a commit that failed.

        One whose fsync failed stands in the WAL as a whole. SQLite passes over it, but the recovery after a
        crash would not: commands that were answered as not stored would be there. Another commit takes its
        place.
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

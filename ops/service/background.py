"""The work of a service beside the event loop's: `Background`, and `call_soon` from other threads."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

from bus.log.reader_pool import ReaderPool
from bus.tasks import cancel
from bus.writing.submission import Commit
from ops.service.errors import ServiceError


class Background:
    """Tasks that `stack` cancels in its turn; the first that fails is told by `failure`."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Has `work` done beside all else."""
        task = asyncio.create_task(work, name=what)
        task.add_done_callback(self._ended)
        self._stack.push_async_callback(cancel, task)

    async def failure(self) -> None:
        """Waits until one has failed, and raises why.

        Raises:
            ServiceError: it says which.
        """
        await asyncio.shield(self._failed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failed.done():
            return
        error = task.exception()
        if error is not None:
            hint = str(getattr(error, "hint", ""))
            self._failed.set_exception(ServiceError(f"{task.get_name()} failed: {error}", hint=hint))


def call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[Commit], None], commit: Commit) -> None:
    """Has the loop's thread hear of a commit; called by others."""
    # A closed loop has nobody left who could be told.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, commit)


async def close_idle(readers: ReaderPool) -> None:
    """Closes readers that nobody has used for a while, for ever."""
    while True:
        await asyncio.sleep(readers.idle_seconds)
        await asyncio.to_thread(readers.close_idle)

"""The work of a service beside what it is asked: `Background`, and what other threads have for the loop's."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

from bus.log.reader_pool import ReaderPool
from hyperpage_client.tasks import cancel
from ops.service.errors import ServiceError
from ops.store.troubles import hint_of, message_of

T = TypeVar("T")


class Background:
    """Tasks that `stack` cancels in its turn; the first that fails is told by `failure`."""

    def __init__(self, stack: AsyncExitStack, failed: "asyncio.Future[None] | None" = None) -> None:
        self._stack = stack
        self._failed = asyncio.get_running_loop().create_future() if failed is None else failed

    def ended_by(self, stack: AsyncExitStack) -> "Background":
        """One whose tasks another stack cancels; what fails among them is told here, too."""
        return Background(stack, self._failed)

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
            what = f"{task.get_name()} failed: {message_of(error)}"
            failure = ServiceError(what, hint=hint_of(error))
            failure.__cause__ = error
            self._failed.set_exception(failure)


def in_this_loop(callback: Callable[[T], None]) -> Callable[[T], None]:
    """The callback for any thread: the loop that runs now calls it soon, unless it has ended by then."""
    loop = asyncio.get_running_loop()

    def called(argument: T) -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(callback, argument)

    return called


async def close_idle(readers: ReaderPool) -> None:
    """Closes readers that nobody has used for a while, for ever."""
    while True:
        await asyncio.sleep(readers.idle_seconds)
        await asyncio.to_thread(readers.close_idle)

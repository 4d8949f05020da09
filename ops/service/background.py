"""The tasks of a service beside requests: `Background`; and `in_this_loop`, calls from other threads."""

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
    """Tasks that `stack` cancels when it is undone; `failure` raises the error of the first that fails."""

    def __init__(self, stack: AsyncExitStack, failed: "asyncio.Future[None] | None" = None) -> None:
        self._stack = stack
        self._failed = asyncio.get_running_loop().create_future() if failed is None else failed

    def ended_by(self, stack: AsyncExitStack) -> "Background":
        """A `Background` whose tasks another stack cancels; this one's `failure` reports them, too."""
        return Background(stack, self._failed)

    def start(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Runs `work` as a task; `what` is its name in messages."""
        task = asyncio.create_task(work, name=what)
        task.add_done_callback(self._ended)
        self._stack.push_async_callback(cancel, task)

    async def failure(self) -> None:
        """Waits until a task has failed, and raises its error.

        Raises:
            ServiceError: a task failed; the message says which one and why.
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
    """A function for any thread that has the present event loop call `callback` soon, unless it has ended."""
    loop = asyncio.get_running_loop()

    def called(argument: T) -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(callback, argument)

    return called


async def close_idle(readers: ReaderPool) -> None:
    """Closes readers that were unused for a while, until it is cancelled."""
    while True:
        await asyncio.sleep(readers.idle_seconds)
        await asyncio.to_thread(readers.close_idle)

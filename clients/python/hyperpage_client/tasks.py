"""Tasks and their ends: cancelling for certain, time limits, and background tasks that are kept."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancels a task again and again, and returns when it has ended, however it ended.

    Python 3.11's `wait_for`, with which nats-py's requests wait, loses a cancellation that comes together
    with the answer, and nats-py swallows some: a task that is cancelled only once may go on for ever.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
    # The error is read, or asyncio would log that it never was.
    if not task.cancelled():
        task.exception()


def settle(future: "asyncio.Future[T]", result: T) -> None:
    """Sets the result of a future that has none yet: whoever waits for it may have been cancelled."""
    if not future.done():
        future.set_result(result)


async def finished_within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or its error; it has ended when this returns.

    `asyncio.timeout` cancels once; this cancels until the work has ended: see `cancel`.

    Raises:
        TimeoutError: it did not end in that time.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        await cancel(task)


async def to_its_end(work: Callable[[], T]) -> T:
    """As `asyncio.to_thread`, but a caller that is cancelled waits until the thread has done the work.

    It is for work that must have ended before its caller lets go of what it works on.
    """
    return await unbroken(asyncio.to_thread(work))


async def unbroken(work: Awaitable[T]) -> T:
    """The result of `work`, which is never cancelled: a caller that is cancelled waits for its end."""
    working = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            # `cancel` cancels again and again; the work goes on all the same.
            with suppress(asyncio.CancelledError):
                await asyncio.wait({working})
        if not working.cancelled():
            working.exception()
        raise


class Tasks:
    """Background tasks, kept here: the loop holds tasks only weakly, and may drop one without a reference."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a background task in the running loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def finish(self) -> None:
        """Returns when no task is left."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def cancel(self) -> None:
        """Cancels all tasks, and returns when they have ended."""
        await asyncio.gather(*map(cancel, self._under_way))

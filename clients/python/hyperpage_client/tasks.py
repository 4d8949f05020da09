"""Tasks that nobody waits for one by one, kept so that they are not lost and can be ended together."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def cancel(task: asyncio.Task[Any]) -> None:
    """Returns when a task has ended, however it ended.

    Python 3.11's `wait_for`, which nats-py's requests wait with, loses a cancellation that comes with the
    answer, and nats-py swallows some: the task would go on for ever, and nobody would ask it again.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
    # The error is looked at, or asyncio would log that it never was.
    if not task.cancelled():
        task.exception()


async def finished_within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or its error; it has ended when this returns.

    Where `asyncio.timeout` cancels once, this is repeated: see `cancel`.

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
    """As `asyncio.to_thread`; whoever is cancelled meanwhile waits until the thread is through with it.

    For what must not go on behind the back of who has given up what it works on.
    """
    return await unbroken(asyncio.to_thread(work))


async def unbroken(work: Awaitable[T]) -> T:
    """The result of `work`, which nobody cancels: whoever is cancelled meanwhile waits for its end."""
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
    """Tasks that run. The loop holds them only weakly, and may drop one that nobody else holds."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs this beside everything else, in the loop that runs now."""
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def finish(self) -> None:
        """Returns when nothing is under way any more."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def cancel(self) -> None:
        """Gives up what is under way."""
        await asyncio.gather(*map(cancel, self._under_way))

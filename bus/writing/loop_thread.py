"""`LoopThread`: a thread with an event loop of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """A thread in whose event loop one thing is done, and beside it what others have it carry out.

    `ending` is undone in that loop when the one thing has ended, or failed.
    """

    def __init__(self, name: str) -> None:
        self._thread = threading.Thread(target=self._run, name=name)
        self._loop: asyncio.AbstractEventLoop
        self._work: Coroutine[Any, Any, None]
        self.ending = AsyncExitStack()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins `work`, with whose end the thread ends."""
        self._work = work
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def join(self) -> None:
        """Waits for the end."""
        self._thread.join()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or its error, which this thread carries out; called from another's loop.

        Raises:
            RuntimeError: the thread has ended.
        """
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def call_soon(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Has this thread call something; called from any."""
        # One that has ended has nobody left who could be told.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with self.ending:
            await self._work

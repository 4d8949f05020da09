"""`LoopThread`: a thread with an event loop of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """A thread whose event loop runs one coroutine, its work, and others that other threads hand it.

    `ending` holds what is closed in that loop when the work has ended, or failed.
    """

    def __init__(self, name: str) -> None:
        self._thread = threading.Thread(target=self._run, name=name)
        self._loop: asyncio.AbstractEventLoop
        self._work: Coroutine[Any, Any, None]
        self._resting: asyncio.Future[None] | None = None
        self._is_waking = False
        self._asked_at: float | None = None
        # The results that callers of `run` wait for, each with its work.
        self._awaited: dict[Future[Any], Coroutine[Any, Any, Any]] = {}
        self.ending = AsyncExitStack()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.get_ident() == self._thread.ident

    @property
    def silent_seconds(self) -> float:
        """For how long the loop has not run the last callback sent to see whether it does.

        Each read sends one, unless one has not run yet.
        """
        asked_at = self._asked_at
        if asked_at is None:
            self._asked_at = time.monotonic()
            self.call_soon(self._give_sign)
        return 0.0 if asked_at is None or not self.is_alive else time.monotonic() - asked_at

    def _give_sign(self) -> None:
        self._asked_at = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts the thread, which runs `work` and ends with it."""
        self._work = work
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def join(self) -> None:
        """Waits for the end."""
        self._thread.join()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, or its error. This thread runs it; the caller is in another thread's loop.

        Raises:
            RuntimeError: the thread has ended.
        """
        try:
            result = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise
        self._awaited[result] = work
        result.add_done_callback(lambda _: self._awaited.pop(result, None))
        # The thread may have ended since, before it could know of this one.
        if self._loop.is_closed():
            self._refuse_late()
        return await asyncio.wrap_future(result)

    def _refuse_late(self) -> None:
        # Work that came after the loop's last turn never begins. Its caller would wait without end.
        while self._awaited:
            with suppress(KeyError):  # its caller may look for late work, too
                result, work = self._awaited.popitem()
                with suppress(InvalidStateError):
                    result.set_exception(RuntimeError("the thread has ended"))
                # Work that has begun in the loop's end may fail at its own.
                with suppress(Exception):
                    work.close()

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Has this thread call `callback`; any thread may ask for that."""
        # The loop of a thread that has ended is closed, and nothing is left to be called.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    async def give_turns(self, seconds: float, *, while_true: Callable[[], bool]) -> None:
        """Gives all else in the loop a turn, and more of them while that holds. For the work alone.

        The turns end when they have taken that many seconds of processor time.
        """
        until = time.thread_time() + seconds
        await asyncio.sleep(0)
        while while_true() and time.thread_time() < until:  # noqa: ASYNC110  # it is the others' turns that count
            await asyncio.sleep(0)

    async def rest(self, seconds: float) -> None:
        """Returns when `wake` is called, or after that time. For the work alone.

        A `wake` outside of a rest is not remembered: the work looks for something to do before it rests.
        """
        self._resting = self._loop.create_future()
        end = self._loop.call_later(seconds, self._end_rest)
        await self._resting
        end.cancel()

    def wake(self) -> None:
        """Ends a rest; called from any thread."""
        if self.is_current:
            self._end_rest()
        elif not self._is_waking:
            self._is_waking = True
            self.call_soon(self._end_rest)

    def _end_rest(self) -> None:
        self._is_waking = False
        if self._resting is not None and not self._resting.done():
            self._resting.set_result(None)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        finally:
            self._refuse_late()

    async def _serve(self) -> None:
        async with self.ending:
            await self._work

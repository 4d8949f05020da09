"""An event loop in a thread of its own, for programs without one: `Portal`."""

import asyncio
import concurrent.futures
import inspect
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial, update_wrapper
from types import GenericAlias
from typing import Any, Concatenate, ParamSpec, TypeVar, get_args

P = ParamSpec("P")
T = TypeVar("T")

_CLOSED = "the client is closed"


class Portal:
    """An event loop in a thread of its own, from the beginning to `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._process = os.getpid()
        # Held to begin work, and to begin the close: nothing is begun after that.
        self._beginning = threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="hyperpage client", daemon=True)
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be run any more: it was closed, or belongs to the process before a fork."""
        return self._closing or self._is_forked

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, which runs in the portal's thread. An interrupted caller cancels it.

        Raises:
            RuntimeError: the client is closed, or was opened before a fork, or this is its own thread.
        """
        try:
            self._require_own_process()
            with self._beginning:
                self._require_usable()
                future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except BaseException:
            work.close()
            raise
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            # Only `close` cancels work that a caller waits for.
            raise RuntimeError(_CLOSED) from None
        except BaseException:
            future.cancel()
            raise

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begins work in the portal's thread, and does not wait for it. Once closed, it does nothing."""
        if self._is_forked:
            return
        with self._beginning:
            if not self.is_closed:
                asyncio.run_coroutine_threadsafe(work(), self._loop)

    def close(self) -> None:
        """Ends the thread and all work in it; callers that wait for work get a `RuntimeError`."""
        if self._is_forked:
            return
        with self._beginning:
            if self.is_closed:
                return
            self._closing = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join()
        self._loop.close()

    @property
    def _is_forked(self) -> bool:
        """Whether this is a forked process. Asked before the lock: a thread may have held it at the fork."""
        return os.getpid() != self._process

    def _require_own_process(self) -> None:
        if self._is_forked:
            raise RuntimeError("a client does not survive a fork: connect behind it, in each process")

    def _require_usable(self) -> None:
        if self._closing:
            raise RuntimeError(_CLOSED)
        if threading.current_thread() is self._thread:
            raise RuntimeError("the thread of the client cannot wait for itself")

    async def _end(self) -> None:
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        # Work that ended a moment ago is told to its caller in the next turn of the loop.
        await asyncio.sleep(0)
        self._loop.stop()


@contextmanager
def entered(portal: Portal, block: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """The same block, entered and left in the portal's thread."""
    value = portal.run(_awaited(block.__aenter__()))
    try:
        yield value
    except BaseException as error:
        # In a forked process, and after a close, there is nothing to leave any more.
        if portal.is_closed or not portal.run(
            _awaited(block.__aexit__(type(error), error, error.__traceback__))
        ):
            raise
    else:
        portal.run(_awaited(block.__aexit__(None, None, None)))


def each(portal: Portal, items: AsyncIterator[T]) -> Iterator[T]:
    """The items of an asynchronous iterator, each asked for when it is wanted."""
    try:
        while True:
            try:
                item = portal.run(_awaited(anext(items)))
            except StopAsyncIteration:
                return
            yield item
    finally:
        # Begun, and not waited for: an iterator that was not read to its end is closed by the thread that
        # collects it. That may be the portal's own, and the client may have ended by then.
        if isinstance(items, AsyncGenerator):
            portal.begin(partial(_closed, items))


async def _closed(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()


class Table:
    """A table whose methods wait for their answers."""

    def __init__(self, portal: "Portal", asynchronous: Any) -> None:
        self._portal = portal
        self._asynchronous = asynchronous


def asked(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], T]:
    """A method of a class with a portal and an asynchronous object: it waits for `method` of that object."""

    def wait(self: Any, /, *args: P.args, **options: P.kwargs) -> T:
        answer: T = self._portal.run(method(self._asynchronous, *args, **options))
        return answer

    return update_wrapper(wait, method)


def iterated(
    method: Callable[Concatenate[Any, P], AsyncIterator[T]],
) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """As `asked`, for a method that is an asynchronous iterator."""

    def items(self: Any, /, *args: P.args, **options: P.kwargs) -> Iterator[T]:
        return each(self._portal, method(self._asynchronous, *args, **options))

    update_wrapper(items, method)
    # The return type is `Iterator`, in place of `AsyncIterator`.
    signature = inspect.signature(method)
    given = GenericAlias(Iterator, get_args(signature.return_annotation)[:1])
    items.__signature__ = signature.replace(return_annotation=given)  # type: ignore[attr-defined]
    items.__annotations__ = {**method.__annotations__, "return": given}
    return items


async def _awaited(work: Awaitable[T]) -> T:
    return await work

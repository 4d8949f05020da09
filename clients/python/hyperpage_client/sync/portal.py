"""An event loop in a thread of its own, for whoever has none: `Portal`."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Portal:
    """An event loop in a thread of its own, from `open` to `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hyperpage client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, which runs over there. Whoever is interrupted meanwhile cancels it.

        Raises:
            RuntimeError: this process was forked off, and the loop's thread stayed behind.
        """
        if os.getpid() != self._process:
            work.close()
            raise RuntimeError("a client does not survive a fork: connect behind it, in each process")
        if self.is_closed:
            work.close()
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether nothing runs there any more."""
        return self._loop.is_closed()

    def close(self) -> None:
        """Ends the thread."""
        if os.getpid() == self._process:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


@contextmanager
def entered(portal: Portal, block: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """The same block, entered and left in the portal's thread."""
    value = portal.run(_awaited(block.__aenter__()))
    try:
        yield value
    except BaseException as error:
        if not portal.run(_awaited(block.__aexit__(type(error), error, error.__traceback__))):
            raise
    else:
        portal.run(_awaited(block.__aexit__(None, None, None)))


def each(portal: Portal, items: AsyncIterator[T]) -> Iterator[T]:
    """The same items, each asked for when it is wanted."""
    try:
        while True:
            try:
                item = portal.run(_awaited(anext(items)))
            except StopAsyncIteration:
                return
            yield item
    finally:
        # One that nobody reads to its end may be dropped behind the end of its client.
        if isinstance(items, AsyncGenerator) and not portal.is_closed:
            portal.run(_awaited(items.aclose()))


class Table:
    """A table, whose answers are waited for."""

    def __init__(self, portal: "Portal", asynchronous: Any) -> None:
        self._portal = portal
        self._asynchronous = asynchronous


def asked(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], T]:
    """The same method of a class whose objects have a portal, and what they stand for: it waits."""

    def wait(self: Any, /, *args: P.args, **options: P.kwargs) -> T:
        answer: T = self._portal.run(method(self._asynchronous, *args, **options))
        return answer

    wait.__doc__ = method.__doc__
    return wait


def iterated(
    method: Callable[Concatenate[Any, P], AsyncIterator[T]],
) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """The same, of a method that gives one thing after the other."""

    def items(self: Any, /, *args: P.args, **options: P.kwargs) -> Iterator[T]:
        return each(self._portal, method(self._asynchronous, *args, **options))

    items.__doc__ = method.__doc__
    return items


async def _awaited(work: Awaitable[T]) -> T:
    return await work

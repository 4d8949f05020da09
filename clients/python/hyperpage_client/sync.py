"""The client for programs without an event loop: Django, Flask, scripts.

    with connect("nats://…") as client:
        client.send("jobs.enqueue", {"type": "sync", "name": "nightly"})
        for row in client.list("jobs", state="running"):
            …

It is the other client, in a thread of its own: any number of threads may use one. A process that is forked
off opens its own.
"""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from hyperpage_client import client as asynchronous
from hyperpage_client.asking.batch import Batch
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.following.subscription import Subscription as AsynchronousSubscription
from hyperpage_client.opening import ConnectOptions
from hyperpage_client.opening import connect as connect_asynchronously

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
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

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


def iterated(portal: Portal, items: AsyncIterator[T]) -> Iterator[T]:
    """The same items, each asked for when it is wanted."""
    try:
        while True:
            try:
                item = portal.run(_awaited(anext(items)))
            except StopAsyncIteration:
                return
            yield item
    finally:
        if isinstance(items, AsyncGenerator):
            portal.run(_awaited(items.aclose()))


async def _awaited(work: Awaitable[T]) -> T:
    return await work


class Subscription:
    """Events to iterate over, for ever; used by one thread, and closed at the end of a `with` block."""

    def __init__(self, portal: Portal, subscription: AsynchronousSubscription) -> None:
        self._portal = portal
        self._subscription = subscription

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ChangeEvent:
        """The next event; waits for it for ever. An interrupted wait loses nothing."""
        return self._portal.run(self._subscription.__anext__())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._portal.run(self._subscription.aclose())


def _asked(
    method: Callable[Concatenate[asynchronous.Client, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Client", P], T]:
    """The same method, whose answer is waited for."""

    def asked(self: "Client", /, *args: P.args, **options: P.kwargs) -> T:
        return self._portal.run(method(self.asynchronous, *args, **options))

    asked.__doc__ = method.__doc__
    return asked


def _iterated(
    method: Callable[Concatenate[asynchronous.Client, P], AsyncIterator[T]],
) -> Callable[Concatenate["Client", P], Iterator[T]]:
    def items(self: "Client", /, *args: P.args, **options: P.kwargs) -> Iterator[T]:
        return iterated(self._portal, method(self.asynchronous, *args, **options))

    items.__doc__ = method.__doc__
    return items


class Client:
    """A service's way to the store, for any number of threads; each method is that of `asynchronous`."""

    def __init__(self, portal: Portal, client: asynchronous.Client) -> None:
        self.asynchronous = client
        self._portal = portal

    send = _asked(asynchronous.Client.send)
    send_batch = _asked(asynchronous.Client.send_batch)
    send_durable = _asked(asynchronous.Client.send_durable)
    durable_answer = _asked(asynchronous.Client.durable_answer)
    wait_for = _asked(asynchronous.Client.wait_for)
    query = _asked(asynchronous.Client.query)
    get = _asked(asynchronous.Client.get)
    list = _iterated(asynchronous.Client.list)
    count = _asked(asynchronous.Client.count)
    history = _iterated(asynchronous.Client.history)
    as_of = _asked(asynchronous.Client.as_of)
    read_events = _asked(asynchronous.Client.read_events)

    @contextmanager
    def batch(self, *, atomic: bool = False) -> Iterator[Batch]:
        """Collects commands, and sends them together at the end of the block; see `Client.batch` there."""
        with entered(self._portal, self.asynchronous.batch(atomic=atomic)) as batch:
            yield batch

    def subscribe(self, *args: Any, **options: Any) -> Subscription:
        """Every event from a position on, once and in order; it takes what `Client.subscribe` there takes."""
        return Subscription(self._portal, self.asynchronous.subscribe(*args, **options))


@contextmanager
def connect(url: str, **options: Unpack[ConnectOptions]) -> Iterator[Client]:
    """A client for the length of the block; see `hyperpage_client.connect`, which takes the same.

    Raises:
        Unreachable: no nats-server lets us in in time, or none ever will; it says why.
    """
    portal = Portal()
    try:
        with entered(portal, connect_asynchronously(url, **options)) as client:
            yield Client(portal, client)
    finally:
        portal.close()

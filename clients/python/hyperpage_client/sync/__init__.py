"""The client for programs without an event loop: Django, Flask, scripts.

    with connect("nats://…") as client:
        client.send("jobs.enqueue", {"type": "sync", "name": "nightly"})
        for row in client.list("jobs", state="running"):
            …

It runs the asynchronous client in a thread of its own; any number of threads may use it. A forked process
opens a client of its own.

portal  the event loop in that thread, and calls that wait for it
tables  the tables, with methods that wait
"""

import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Self, TypeVar, Unpack

from hyperpage_client import client as asynchronous
from hyperpage_client.asking.batch import Batch
from hyperpage_client.following.change_events import ChangeEvent
from hyperpage_client.following.subscription import Subscription as AsynchronousSubscription
from hyperpage_client.opening import ConnectOptions
from hyperpage_client.opening import connect as connect_asynchronously
from hyperpage_client.sync import tables
from hyperpage_client.sync.portal import Portal, asked, each, entered, iterated

T = TypeVar("T")


class Subscription:
    """Events to iterate over, for ever; used by one thread, and closed at the end of a `with` block.

    When a loop over it is left, the broker is told to drop the consumer; a new loop goes on where that one
    ended.
    """

    def __init__(self, portal: Portal, subscription: AsynchronousSubscription) -> None:
        self._portal = portal
        self._subscription = subscription

    def __iter__(self) -> Iterator[ChangeEvent]:
        return each(self._portal, aiter(self._subscription))

    def __next__(self) -> ChangeEvent:
        """The next event; waits for it without a limit. An interrupted wait loses nothing."""
        return self._portal.run(self._subscription.__anext__())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the subscription."""
        if not self._portal.is_closed:
            self._portal.run(self._subscription.aclose())


class Client:
    """A client for any number of threads; each method is that of the asynchronous client, and waits.

    `portal` and `underlying` are for code on top of it, such as the tables of other packages.
    """

    def __init__(self, portal: Portal, client: asynchronous.Client, close: Callable[[], None]) -> None:
        self._close = close
        self._portal = portal
        self._asynchronous = client
        self.app_state = tables.AppState(portal, client.app_state)
        self.events = tables.Events(portal, client.events)
        self.jobs = tables.Jobs(portal, client.jobs)
        self.queues = tables.Queues(portal, client.queues)
        self.rate_limits = tables.RateLimits(portal, client.rate_limits)
        self.schedules = tables.Schedules(portal, client.schedules)
        self.tool_configs = tables.ToolConfigs(portal, client.tool_configs)

    @property
    def portal(self) -> Portal:
        """The event loop that the asynchronous client runs in, and its thread."""
        return self._portal

    @property
    def underlying(self) -> asynchronous.Client:
        """The asynchronous client."""
        return self._asynchronous

    send = asked(asynchronous.Client.send)
    send_batch = asked(asynchronous.Client.send_batch)
    send_durable = asked(asynchronous.Client.send_durable)
    durable_answer = asked(asynchronous.Client.durable_answer)
    wait_for = asked(asynchronous.Client.wait_for)
    query = asked(asynchronous.Client.query)
    get = asked(asynchronous.Client.get)
    list = iterated(asynchronous.Client.list)
    count = asked(asynchronous.Client.count)
    history = iterated(asynchronous.Client.history)
    as_of = asked(asynchronous.Client.as_of)
    read_events = asked(asynchronous.Client.read_events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        """Whether it cannot be used any more: it was closed, or is that of the process before a fork."""
        return self._portal.is_closed

    def run(self, work: Callable[[asynchronous.Client], Coroutine[Any, Any, T]]) -> T:
        """The result of `work` with the asynchronous client, in its thread."""
        return self._portal.run(work(self._asynchronous))

    def close(self) -> None:
        """Ends the client and its thread; it may be called again."""
        atexit.unregister(self.close)
        if not self._portal.is_closed:
            self._close()

    @contextmanager
    def batch(self, *, atomic: bool = False) -> Iterator[Batch]:
        """Collects commands, and sends them at the end of the block; see `hyperpage_client.Client.batch`."""
        with entered(self._portal, self._asynchronous.batch(atomic=atomic)) as batch:
            yield batch

    def subscribe(self, *args: Any, **options: Any) -> Subscription:
        """Every event from a position on, once and in order; see `hyperpage_client.Client.subscribe`."""
        return Subscription(self._portal, self._asynchronous.subscribe(*args, **options))


def opened(url: str, **options: Unpack[ConnectOptions]) -> Client:
    """A client that is open until its `close` is called, or the process ends.

    Raises:
        Unreachable: no nats-server accepts the connection in time, or none ever will; it says why.
    """
    with ExitStack() as stack:
        portal = Portal()
        stack.callback(portal.close)
        client = stack.enter_context(entered(portal, connect_asynchronously(url, **options)))
        made = Client(portal, client, stack.pop_all().close)
    # `atexit` calls it while the client's thread still runs; later, nothing could be waited for.
    atexit.register(made.close)
    return made


class ProcessClient:
    """A client that is opened when it is first asked for, once in each process, and kept until its end."""

    def __init__(self, url: str, **options: Unpack[ConnectOptions]) -> None:
        self._open = partial(opened, url, **options)
        self._clients: dict[int, Client] = {}
        self._opening: dict[int, threading.Lock] = {}

    def get(self) -> Client:
        """The client of this process; a forked process gets its own.

        Raises:
            Unreachable: no nats-server accepts the connection; it says why, and the next call tries again.
        """
        process = os.getpid()
        # A lock for each process: during a fork, another thread of the parent may have held the parent's.
        with self._opening.setdefault(process, threading.Lock()):
            client = self._clients.get(process)
            if client is None or client.is_closed:
                client = self._clients[process] = self._open()
            return client


@contextmanager
def connect(url: str, **options: Unpack[ConnectOptions]) -> Iterator[Client]:
    """A client for the length of the block; see `hyperpage_client.connect`, which takes the same.

    Raises:
        Unreachable: no nats-server accepts the connection in time, or none ever will; it says why.
    """
    client = opened(url, **options)
    try:
        yield client
    finally:
        client.close()

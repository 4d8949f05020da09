"""Functions as jobs: a program enqueues a function with its arguments, and a worker runs it.

    app = App("nats://…")

    @app.job(retries=3, timeout=60)
    async def fetch(url: str, depth: int = 1) -> int:
        ...

    async with app.open():
        job = await fetch.enqueue(url="https://example.com")
        print(await job.result())

    await app.worker().run()        # elsewhere

    fetch.enqueue_sync(url="https://example.com").result()      # without an event loop, nor a block

Arguments and results travel as JSON, and are converted by the annotations: numbers, texts, dates, UUIDs,
enumerations, dataclasses and structs of msgspec. A function that is not `async` runs in a thread.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, Unpack, overload

from hyperpage_client.client import Client
from hyperpage_client.commands.jobs import AfterGroup, Concurrency, Rate, RetryPolicy
from hyperpage_client.job import Job, Sink
from hyperpage_client.opening import ConnectOptions, connect
from hyperpage_client.sync import Client as SyncClient
from hyperpage_client.sync import ProcessClient
from hyperpage_client.worker import MAXIMUM_TYPES, Handler, Worker, run_workers

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_RETRIES = 4
DEFAULT_TIMEOUT_SECONDS = 900.0
NO_JOBS = "the app has no jobs to work on: import the modules that define them before the worker runs"


class App:
    """The jobs of a program, and the address of the service that keeps them: `url` and options of `connect`.

    Raises:
        ValueError: two jobs have one name.
    """

    def __init__(self, url: str, **options: Unpack[ConnectOptions]) -> None:
        self.jobs: dict[str, Job[Any, Any]] = {}
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._url = url
        self._options = options
        self._of_process = ProcessClient(url, **options)
        # The open places; jobs go to the last one. Blocks may overlap, so each removes its own place.
        self._places: list[_Place] = []

    @overload
    def job(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Job[P, R]: ...

    @overload
    def job(self, function: Callable[P, R], /) -> Job[P, R]: ...

    @overload
    def job(
        self,
        /,
        *,
        name: str | None = None,
        retries: int = DEFAULT_RETRIES,
        timeout: float | timedelta = DEFAULT_TIMEOUT_SECONDS,
        queue: str = "default",
        priority: int = 2,
        retry: RetryPolicy | None = None,
        concurrency: Concurrency | None = None,
        rate: Rate | None = None,
        group_id: str | None = None,
        after_group: AfterGroup | None = None,
    ) -> "_Decorator": ...

    def job(self, function: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
        """Makes a job of a function; its type is the function's name, unless there is a `name`.

        The job is tried once, and up to `retries` times more after the delays of `retry`; each attempt may
        take `timeout` seconds. `concurrency` says how many jobs of this type, or with a key, may run at once,
        `rate` how many may begin within a window. The job belongs to the group `group_id`, and waits for that
        of `after_group`.

        Raises:
            ValueError: there is a job with this name already.
            TypeError: the function takes any number of arguments.
        """

        def make(one: Callable[..., Any]) -> Job[Any, Any]:
            kind = name or one.__name__
            if kind in self.jobs:
                raise ValueError(f"there is a job {kind} already: give one of them another name")
            made: Job[Any, Any] = Job(self, one, {"type": kind, **_options(**options)})
            self.jobs[kind] = made
            return made

        return make if function is None else make(function)

    @property
    def sink(self) -> Sink:
        """The place where jobs are enqueued now: the client of the open app, or a queue in memory.

        Raises:
            RuntimeError: the app is not open.
        """
        if not self._places:
            raise RuntimeError(
                "the app is not open: jobs are enqueued within `async with app.open()`, or by `enqueue_sync`"
            )
        return self._places[-1].sink

    def client(self) -> SyncClient:
        """The client of this process for programs without an event loop, opened when it is first asked for.

        Raises:
            Unreachable: no nats-server accepts the connection; it says why.
        """
        return self._of_process.get()

    def wait(self, work: Callable[[Sink], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, given the place where jobs are enqueued, for callers without an event loop.

        That place is the client of the open app (from any thread but that of its loop) or a queue in memory;
        without either, it is `client()`.

        Raises:
            RuntimeError: this is the thread of the open app's loop, which would wait for itself.
        """
        place = self._places[-1] if self._places else None
        if place is not None and place.loop is None:
            return _run(work(place.sink))
        # A forked process cannot use what its parent has opened.
        if place is None or place.loop is None or place.process != os.getpid():
            return self.client().run(work)
        if place.loop is _loop_here():
            raise RuntimeError("an event loop runs here: `await` the other form, without `_sync`")
        future = asyncio.run_coroutine_threadsafe(work(place.sink), place.loop)
        try:
            return future.result()
        except BaseException:
            # The caller was interrupted, and no longer waits for the work.
            future.cancel()
            raise

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Client]:
        """A client for the length of the block, over which jobs are enqueued.

        Raises:
            Unreachable: no nats-server accepts the connection; it says why.
        """
        async with connect(self._url, **self._options) as client:
            with self.enqueued_in(client, asyncio.get_running_loop()):
                yield client

    def worker(self, *queues: str, concurrency: int = 10, **options: Any) -> "AppWorker":
        """A worker for the jobs of these queues, or of all queues that the jobs name, over one connection.

        It runs `concurrency` jobs of each queue at a time; `options` are those of
        `hyperpage_client.worker.Worker`.
        """
        return AppWorker(self, queues, {"concurrency": concurrency, **options})

    @contextmanager
    def enqueued_in(self, sink: Sink, loop: asyncio.AbstractEventLoop | None = None) -> Iterator[None]:
        """Has jobs enqueued in `sink` for the length of the block; `loop` is the loop it needs, if any."""
        place = _Place(sink, loop, os.getpid())
        self._places.append(place)
        try:
            yield
        finally:
            self._places.remove(place)


class _Place(NamedTuple):
    """A place where jobs are enqueued: its event loop (None: any will do), and the process that opened it."""

    sink: Sink
    loop: asyncio.AbstractEventLoop | None
    process: int


def _loop_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which may run in any event loop."""
    if _loop_here() is None:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(asyncio.run, work).result()


class AppWorker:
    """A worker for the jobs of an app, which connects by itself."""

    def __init__(self, app: App, queues: Sequence[str], options: Mapping[str, Any]) -> None:
        self._app = app
        self._queues = queues
        self._options = options
        self._workers: list[Worker] = []
        self._stopped = False

    def stop(self) -> None:
        """Has `run` end: no more claims, and each job is done or given back."""
        self._stopped = True
        for worker in self._workers:
            worker.stop()

    async def run(self, *, handle_signals: bool = True) -> None:
        """Works until `stop` is called, or SIGTERM or SIGINT comes; then each job is done or given back.

        Without `handle_signals`, the handlers of these signals stay as they are, such as a web server's.

        Raises:
            ValueError: there are no jobs to work on; or there are more than 100, and not 1 to 100 of a queue.
            Unreachable: no nats-server accepts the connection; it says why.
            ExceptionGroup: the connection was closed.
        """
        # Jobs may have been imported since this was made.
        if not self._app.jobs:
            raise ValueError(NO_JOBS)
        queues = self._queues or tuple(dict.fromkeys(job.queue for job in self._app.jobs.values()))
        handlers = {queue: self._handlers_of(queue) for queue in queues}
        async with self._app.open() as client:
            self._workers = [
                Worker(client, handlers[queue], queue=queue, **self._options) for queue in queues
            ]
            if self._stopped:
                self.stop()
            await run_workers(*self._workers, handle_signals=handle_signals)

    def _handlers_of(self, queue: str) -> dict[str, Handler]:
        jobs = self._app.jobs
        if len(jobs) > MAXIMUM_TYPES:
            # A claim may not name more types, so it names only those whose own queue this is. A job of
            # another type, which was configured to go to this queue, is not claimed.
            jobs = {name: job for name, job in jobs.items() if job.queue == queue}
            if not 1 <= len(jobs) <= MAXIMUM_TYPES:
                raise ValueError(
                    f"of an app with more than {MAXIMUM_TYPES} jobs, a worker takes those of its queue, 1 to"
                    f" {MAXIMUM_TYPES} of them: {queue} is the queue of {len(jobs) or 'none'}; give jobs"
                    " other queues, or make two apps of them"
                )
        return {name: job.handler for name, job in jobs.items()}


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Job[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Job[P, R]: ...


def _options(
    *,
    retries: int = DEFAULT_RETRIES,
    timeout: float | timedelta = DEFAULT_TIMEOUT_SECONDS,
    queue: str = "default",
    priority: int = 2,
    retry: RetryPolicy | None = None,
    concurrency: Concurrency | None = None,
    rate: Rate | None = None,
    group_id: str | None = None,
    after_group: AfterGroup | None = None,
) -> dict[str, Any]:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    return {
        "max_attempts": retries + 1,
        "timeout_ms": round(seconds * 1000),
        "queue": queue,
        "priority": priority,
        "retry": retry,
        "concurrency": concurrency,
        "rate": rate,
        "group_id": group_id,
        "after_group": after_group,
    }

"""Functions as jobs: enqueued with their arguments by whoever knows them, run by a worker.

    app = App("nats://…")

    @app.job(retries=3, timeout=60)
    async def fetch(url: str, depth: int = 1) -> int:
        ...

    async with app.open():
        job = await fetch.enqueue(url="https://example.com")
        print(await job.result())

    await app.worker().run()        # elsewhere

Arguments and results are what JSON and the annotations say: numbers, texts, dates, UUIDs, enumerations,
dataclasses and structs of msgspec. A function that is not `async` runs in a thread.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from hyperpage_client.client import Client
from hyperpage_client.job import Job, Sink
from hyperpage_client.opening import ConnectOptions, connect
from hyperpage_client.worker import Handler, Worker, run_workers

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_RETRIES = 4
DEFAULT_TIMEOUT_SECONDS = 900.0
# The most types that one claim names.
MOST_TYPES = 100


class App:
    """Jobs, and how the service is reached that keeps them: `url` and what `connect` takes.

    Raises:
        ValueError: two jobs have one name.
    """

    def __init__(self, url: str, **options: Unpack[ConnectOptions]) -> None:
        self.jobs: dict[str, Job[Any, Any]] = {}
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._url = url
        self._options = options
        # The last one is used. Blocks may overlap: each takes out its own.
        self._sinks: list[Sink] = []

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
    ) -> "_Decorator": ...

    def job(self, function: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
        """Makes a job of a function; its type is the function's name, unless there is a `name`.

        It is tried once and `retries` times more; each attempt may take `timeout` seconds.

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
        """Where jobs are enqueued now.

        Raises:
            RuntimeError: the app is not open.
        """
        if not self._sinks:
            raise RuntimeError("the app is not open: jobs are enqueued within `async with app.open()`")
        return self._sinks[-1]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Client]:
        """A client for the length of the block, over which jobs are enqueued.

        Raises:
            Unreachable: no nats-server lets us in, and it says why.
        """
        async with connect(self._url, **self._options) as client:
            with self.enqueued_in(client):
                yield client

    def worker(self, *queues: str, concurrency: int = 10, **options: Any) -> "AppWorker":
        """A worker for the jobs of these queues, or of all that its jobs name, over one connection.

        It has `concurrency` jobs of each queue at a time; `options` are those of
        `hyperpage_client.worker.Worker`.
        """
        named = queues or tuple(dict.fromkeys(job.queue for job in self.jobs.values()))
        return AppWorker(self, named, {"concurrency": concurrency, **options})

    @contextmanager
    def enqueued_in(self, sink: Sink) -> Iterator[None]:
        """Has jobs enqueued over there for the length of the block."""
        self._sinks.append(sink)
        try:
            yield
        finally:
            self._sinks.remove(sink)


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

        Without `handle_signals`, these are left to whoever has them already: a web server, say.

        Raises:
            Unreachable: no nats-server lets us in, and it says why.
            ExceptionGroup: the connection was closed.
        """
        async with self._app.open() as client:
            self._workers = [
                Worker(client, self._handlers_of(queue), queue=queue, **self._options)
                for queue in self._queues
            ]
            if self._stopped:
                self.stop()
            await run_workers(*self._workers, handle_signals=handle_signals)

    def _handlers_of(self, queue: str) -> dict[str, Handler]:
        jobs = self._app.jobs
        if len(jobs) > MOST_TYPES:
            # A claim names its types. Those that somebody enqueues elsewhere have to be fewer, then.
            jobs = {name: job for name, job in jobs.items() if job.queue == queue}
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
) -> dict[str, Any]:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    return {
        "max_attempts": retries + 1,
        "timeout_ms": round(seconds * 1000),
        "queue": queue,
        "priority": priority,
    }

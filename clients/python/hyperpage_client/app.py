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

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, get_type_hints, overload

import msgspec

from hyperpage_client.client import Client
from hyperpage_client.commands.jobs import Enqueue, Unique
from hyperpage_client.opening import ConnectOptions, connect
from hyperpage_client.worker import Handler, JobContext, JobFailed, Worker, run_workers

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_RETRIES = 4
DEFAULT_TIMEOUT_SECONDS = 900.0

_current: ContextVar[JobContext] = ContextVar("hyperpage_job")


def current_job() -> JobContext:
    """The attempt that runs, within the function of a job: its id, its progress, whether it is to stop.

    Raises:
        LookupError: no job runs here.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("no job runs here: it is asked for within a job's function") from None


class EndedJob(Protocol):
    """A job that has ended, as its row says."""

    @property
    def id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def error(self) -> str | None: ...
    @property
    def result(self) -> Any: ...


class JobNotCompletedError(Exception):
    """A job whose result was waited for ended in another way, as `job` says."""

    def __init__(self, job: EndedJob) -> None:
        super().__init__(f"job {job.id} is {job.state}: {job.error or 'nothing was said why'}")
        self.job = job


class Sink(Protocol):
    """Where jobs are enqueued: a client, or what takes its place in tests."""

    async def send(self, command: Enqueue, /) -> Any:
        """Takes a job; the answer is that of a client."""

    async def wait_for(self, job_id: str, /, *, timeout_seconds: float | None = None) -> EndedJob:
        """A job once it has ended."""


class EnqueuedJob(Generic[R]):
    """A job that was enqueued, by its `id`."""

    def __init__(self, job_id: str, sink: Sink, returns: Any) -> None:
        self.id = job_id
        self._sink = sink
        self._returns = returns

    async def result(self, *, timeout_seconds: float | None = None) -> R:
        """What its function returned, once it has.

        Raises:
            JobNotCompletedError: it failed, was cancelled or took too long.
            TimeoutError: it has not ended in that time.
        """
        job = await self._sink.wait_for(self.id, timeout_seconds=timeout_seconds)
        if job.state != "completed":
            raise JobNotCompletedError(job)
        result: R = msgspec.convert(job.result, self._returns, str_keys=True)
        return result


class Job(Generic[P, R]):
    """A function that is a job, by its `type`. Called, it runs here and now, as if it were none."""

    def __init__(self, app: "App", function: Callable[P, Any], options: Mapping[str, Any]) -> None:
        self.type: str = options["type"]
        self.function = function
        self._app = app
        self._options = options
        self._signature = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        self._returns = hints.pop("return", Any)
        self._arguments = _struct_of(self.type, self._signature, hints)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.function(*args, **kwargs)

    def configure(
        self,
        *,
        job_id: str | None = None,
        delay: float | timedelta | None = None,
        run_at: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        depends_on: Sequence[str] | None = None,
        unique: Unique | None = None,
        name: str | None = None,
    ) -> "Job[P, R]":
        """The same job, to be enqueued otherwise: `fetch.configure(delay=60).enqueue(url=…)`.

        `delay` is in seconds; `run_at` a moment with its time zone. `unique` says which jobs are one.

        Raises:
            ValueError: both are given, or the moment has no time zone.
        """
        if delay is not None and run_at is not None:
            raise ValueError("either a delay or a moment")
        if run_at is not None and run_at.tzinfo is None:
            raise ValueError("a moment has a time zone: datetime.now(UTC), say")
        given = {
            "id": job_id,
            "delay": delay,
            "run_at": None if run_at is None else round(run_at.timestamp() * 1000),
            "queue": queue,
            "priority": priority,
            "tags": tags,
            "depends_on": depends_on,
            "unique": unique,
            "name": name,
        }
        changed = {name: value for name, value in given.items() if value is not None}
        return Job(self._app, self.function, {**self._options, **changed})

    def command(self, *args: P.args, **kwargs: P.kwargs) -> Enqueue:
        """The command that enqueues it with these arguments: for a batch, an outbox, another client.

        Raises:
            TypeError: they are not the function's.
            msgspec.ValidationError: they are not of its types.
        """
        bound = self._signature.bind(*args, **kwargs)
        # As it comes to the worker: what that could not read is refused here.
        payload = msgspec.json.decode(msgspec.json.encode(dict(bound.arguments)))
        msgspec.convert(payload, self._arguments, str_keys=True)
        options = dict(self._options)
        if (delay := options.pop("delay", None)) is not None:
            wait = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
            options["run_at"] = round((self._app.now() + wait).timestamp() * 1000)
        return Enqueue(payload=payload, **options)

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJob[R]:
        """Enqueues it with these arguments, over the connection that `App.open` has opened.

        Raises:
            Refusal: the service does not take it.
            RuntimeError: the app is not open.
        """
        sink = self._app.sink
        answer = await sink.send(self.command(*args, **kwargs))
        # One that is the same already, by its unique key.
        job_id = (answer.result or {}).get("existing", answer.key)
        return EnqueuedJob(job_id, sink, self._returns)

    @property
    def handler(self) -> Handler:
        """What a worker calls."""
        function: Callable[..., Any] = self.function
        if inspect.iscoroutinefunction(function):

            async def run(context: JobContext) -> Any:
                token = _current.set(context)
                try:
                    return await function(**self._read(context))
                finally:
                    _current.reset(token)

            return run

        def run_in_thread(context: JobContext) -> Any:
            _current.set(context)
            return function(**self._read(context))

        return run_in_thread

    def _read(self, context: JobContext) -> dict[str, Any]:
        try:
            arguments = msgspec.convert(context.payload, self._arguments, str_keys=True)
        except msgspec.ValidationError as error:
            # The next attempt would have the same.
            raise JobFailed(f"its payload is not what {self.type} takes: {error}", retryable=False) from error
        return {name: getattr(arguments, name) for name in context.payload}


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

    def worker(self, *, queue: str = "default", concurrency: int = 10, **options: Any) -> "AppWorker":
        """A worker for the jobs of a queue; `options` are those of `hyperpage_client.worker.Worker`."""
        return AppWorker(self, {"queue": queue, "concurrency": concurrency, **options})

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

    def __init__(self, app: App, options: Mapping[str, Any]) -> None:
        self._app = app
        self._options = options

    async def run(self) -> None:
        """Works until SIGTERM or SIGINT comes; then each job is done or given back.

        Raises:
            Unreachable: no nats-server lets us in, and it says why.
            ExceptionGroup: the connection was closed.
        """
        handlers = {name: job.handler for name, job in self._app.jobs.items()}
        async with self._app.open() as client:
            await run_workers(Worker(client, handlers, **self._options))


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


def _struct_of(name: str, signature: inspect.Signature, hints: Mapping[str, Any]) -> type[msgspec.Struct]:
    """The arguments of a function as a struct."""
    fields: list[Any] = []
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"{name} takes {parameter}: a job's arguments have names, each of them")
        kind = hints.get(parameter.name, Any)
        # The function has its own defaults.
        is_required = parameter.default is parameter.empty
        fields.append(
            (parameter.name, kind) if is_required else (parameter.name, kind, msgspec.field(default=None))
        )
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)

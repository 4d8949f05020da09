"""A function that is a job: how it is enqueued, the result that it ends with, and the attempt that runs."""

import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, get_type_hints

import msgspec

from hyperpage_client.commands.jobs import (
    AfterGroup,
    Concurrency,
    Debounce,
    Enqueue,
    Rate,
    RetryPolicy,
    Throttle,
    Unique,
)
from hyperpage_client.worker import Handler, JobContext, JobFailed

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

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
    """A place where jobs are enqueued: a client, or what replaces it in tests."""

    async def send(self, command: Enqueue, /, *, command_id: str = ...) -> Any:
        """Takes a job; the answer is that of a client."""

    async def wait_for(self, job_id: str, /, *, timeout_seconds: float | None = None) -> EndedJob:
        """A job once it has ended."""


class EnqueuedJob(Generic[R]):
    """A job that was enqueued, by its `id`."""

    def __init__(self, job_id: str, sink: Sink, returns: Any) -> None:
        self.id = job_id
        self._sink = sink
        self._returns = returns

    def within(self, sink: Sink) -> "EnqueuedJob[R]":
        """The same job, whose result is asked for at `sink`."""
        return EnqueuedJob(self.id, sink, self._returns)

    async def result(self, *, timeout_seconds: float | None = None) -> R:
        """The result of the job's function, once the job has ended.

        Raises:
            JobNotCompletedError: it failed, was cancelled or took too long.
            TimeoutError: it has not ended in that time.
        """
        job = await self._sink.wait_for(self.id, timeout_seconds=timeout_seconds)
        if job.state != "completed":
            raise JobNotCompletedError(job)
        result: R = msgspec.convert(job.result, self._returns, str_keys=True)
        return result


class EnqueuedJobSync(Generic[R]):
    """A job that was enqueued, by its `id`, for programs without an event loop."""

    def __init__(self, job: EnqueuedJob[R], app: "Home") -> None:
        self.id = job.id
        self._job = job
        self._app = app

    def result(self, *, timeout_seconds: float | None = None) -> R:
        """The result of the job's function, once the job has ended.

        Raises:
            JobNotCompletedError: it failed, was cancelled or took too long.
            TimeoutError: it has not ended in that time.
        """
        return self._app.wait(lambda sink: self._job.within(sink).result(timeout_seconds=timeout_seconds))


class Home(Protocol):
    """The app that a job belongs to, as far as the job uses it."""

    @property
    def now(self) -> Callable[[], datetime]:
        """The app's clock."""

    @property
    def sink(self) -> Sink:
        """The place where jobs are enqueued now."""

    def wait(self, work: Callable[[Sink], Coroutine[Any, Any, T]]) -> T:
        """The result of `work`, given that place, for callers without an event loop."""


class Job(Generic[P, R]):
    """A function that is a job of a `type`. Calling it runs the function here and now, not as a job."""

    __name__: str

    def __init__(
        self,
        app: Home,
        function: Callable[P, Any],
        options: Mapping[str, Any],
        types: "_Types | None" = None,
    ) -> None:
        # The function's name, documentation and signature.
        update_wrapper(self, function)
        self.type: str = options["type"]
        self.queue: str = options["queue"]
        self.function = function
        self._app = app
        self._options = options
        self._types = types or _Types(self.type, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.function(*args, **kwargs)

    def configure(
        self,
        *,
        job_id: str | None = None,
        command_id: str | None = None,
        delay: float | timedelta | None = None,
        run_at: datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        depends_on: Sequence[str] | None = None,
        unique: Unique | None = None,
        debounce: Debounce | None = None,
        throttle: Throttle | None = None,
        concurrency: Concurrency | None = None,
        rate: Rate | None = None,
        name: str | None = None,
        retry: RetryPolicy | None = None,
        group_id: str | None = None,
        after_group: AfterGroup | None = None,
    ) -> "Job[P, R]":
        """The same job with other options: `fetch.configure(delay=60).enqueue(url=…)`.

        Under a `command_id`, it is enqueued once, even if that is tried again. `delay` is in seconds,
        `run_at` a moment with its time zone. `unique` says which jobs count as the same, `debounce` makes one
        job of several that come close together, `throttle` says how many may be enqueued within a window,
        `concurrency` how many may run at once, `rate` how many may begin within a window, `retry` when a
        failed attempt is tried again. The job belongs to the group `group_id`, and waits for that of
        `after_group`.

        Raises:
            ValueError: both `delay` and `run_at` are given, or the moment has no time zone.
        """
        if delay is not None and run_at is not None:
            raise ValueError("either a delay or a moment")
        given = {
            "id": job_id,
            "command_id": command_id,
            "delay": delay,
            "run_at": None if run_at is None else _milliseconds(run_at),
            "queue": queue,
            "priority": priority,
            "tags": tags,
            "depends_on": depends_on,
            "unique": unique,
            "debounce": debounce,
            "throttle": throttle,
            "concurrency": concurrency,
            "rate": rate,
            "name": name,
            "retry": retry,
            "group_id": group_id,
            "after_group": after_group,
        }
        changed = {name: value for name, value in given.items() if value is not None}
        return Job(self._app, self.function, {**self._options, **changed}, self._types)

    def command(self, *args: P.args, **kwargs: P.kwargs) -> Enqueue:
        """The command that enqueues it with these arguments: for a batch, an outbox, another client.

        Raises:
            TypeError: the arguments are not those that the function takes.
            msgspec.ValidationError: an argument does not have its type.
        """
        bound = self._types.signature.bind(*args, **kwargs)
        # The payload as a worker gets it: arguments that it could not read are refused here.
        payload = msgspec.json.decode(msgspec.json.encode(dict(bound.arguments)))
        msgspec.convert(payload, self._types.arguments, str_keys=True)
        options = dict(self._options)
        options.pop("command_id", None)
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
        return await self._enqueued(self._app.sink, self.command(*args, **kwargs))

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> EnqueuedJobSync[R]:
        """As `enqueue`, and waits: for programs without an event loop, which need not open the app.

        The first call of a process connects, and the connection is kept until its end.

        Raises:
            Refusal: the service does not take it.
            Unreachable: no nats-server accepts the connection, or there was no answer.
            RuntimeError: the event loop that has opened the app runs here, and would wait for itself.
        """
        command = self.command(*args, **kwargs)
        return EnqueuedJobSync(self._app.wait(lambda sink: self._enqueued(sink, command)), self._app)

    async def _enqueued(self, sink: Sink, command: Enqueue) -> EnqueuedJob[R]:
        command_id = self._options.get("command_id")
        about = {} if command_id is None else {"command_id": command_id}
        answer = await sink.send(command, **about)
        # With a unique key, it may be the id of a job that existed already.
        job_id = (answer.result or {}).get("existing", answer.key)
        return EnqueuedJob(job_id, sink, self._types.returns)

    @property
    def handler(self) -> Handler:
        """The handler by which a worker runs the function."""
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
            arguments = msgspec.convert(context.payload, self._types.arguments, str_keys=True)
        except msgspec.ValidationError as error:
            # Not retryable: the next attempt would have the same payload.
            raise JobFailed(f"its payload is not what {self.type} takes: {error}", retryable=False) from error
        return {name: getattr(arguments, name) for name in context.payload}


def _milliseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("a moment has a time zone: datetime.now(UTC), say")
    return round(moment.timestamp() * 1000)


class _Types:
    """The types of a function's arguments and of its result.

    Annotations are read on first use: they may name things that the module defines further down.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.signature = inspect.signature(function)
        self._name = name
        self._function = function
        for one in self.signature.parameters.values():
            if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
                raise TypeError(f"{name} takes {one}: a job's arguments have names, each of them")

    @cached_property
    def arguments(self) -> type[msgspec.Struct]:
        """Its arguments as a struct."""
        fields: list[Any] = []
        for parameter in self.signature.parameters.values():
            kind = self._hints.get(parameter.name, Any)
            # Only whether there is a default matters here: the function applies its own.
            is_required = parameter.default is parameter.empty
            fields.append(
                (parameter.name, kind) if is_required else (parameter.name, kind, msgspec.field(default=None))
            )
        return msgspec.defstruct(self._name, fields, kw_only=True, forbid_unknown_fields=True)

    @cached_property
    def returns(self) -> Any:
        """The type of its result."""
        return self._hints.get("return", Any)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self._function, include_extras=True)

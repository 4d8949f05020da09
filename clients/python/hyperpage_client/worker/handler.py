"""Handlers: how they are called, and the report of how they ended."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from hyperpage_client.commands.jobs import AckCancel, Complete, Fail, Interrupt, Snooze
from hyperpage_client.contract.commands import Command
from hyperpage_client.worker.job import JobContext, JobFailed, JobSnoozed
from hyperpage_client.worker.tracebacks import traceback_of

# A coroutine function, or a plain one, which is called in a thread.
Handler = Callable[[JobContext], Any]

# The longest error that `fail` takes.
MAXIMUM_ERROR_CHARACTERS = 10_000


class Returned(NamedTuple):
    """A handler's result."""

    value: Any


class Raised(NamedTuple):
    """The exception that a handler ended with instead."""

    error: BaseException


Ending = Returned | Raised


def is_coroutine_function(handler: Handler) -> bool:
    """Whether a handler runs in the loop, and can be cancelled there."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


async def perform(handler: Handler, job: JobContext) -> Ending:
    """How the handler ended. No exception of it goes any further, except a `KeyboardInterrupt`."""
    try:
        if is_coroutine_function(handler):
            return Returned(await handler(job))
        return await _perform_in_thread(handler, job)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Raised(error)


async def _perform_in_thread(handler: Handler, job: JobContext) -> Ending:
    # Each handler has a thread of its own, which ends with the process. For the threads of a pool, a process
    # would wait at its end as long as a handler goes on, although its job has been given back.
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Ending] = loop.create_future()
    context = contextvars.copy_context()

    def tell(ending: Ending) -> None:
        if not ended.done():
            ended.set_result(ending)

    def work() -> None:
        ending: Ending
        try:
            ending = Returned(context.run(handler, job))
        except BaseException as error:
            ending = Raised(error)
        # The loop may be closed; then nothing waits for the ending any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, ending)

    threading.Thread(target=work, name=f"job {job.id}", daemon=True).start()
    return await ended


def report_of(ending: Ending | None, job: JobContext) -> Command | None:
    """The command that reports an attempt to the service; None if its lease is lost.

    `ending` is None if the handler still runs, and is not waited for.
    """
    held: dict[str, Any] = {"id": job.id, "lease": job.lease}
    if ending is not None:
        # A handler that still runs may make more calls.
        held["calls"] = job.calls
    reason = job.stop_reason
    if reason == "lease_lost":
        return None
    if isinstance(ending, Returned):
        return _completed(held, ending.value)
    # A handler that was told to stop has stopped, whatever it raises.
    if reason == "cancel_requested" and ending is not None:
        return AckCancel(**held)
    if reason is not None or ending is None:
        return Interrupt(**held)
    match ending.error:
        case JobSnoozed(until=until):
            return Snooze(**held, run_at=until)
        case JobFailed() as error:
            fail = failed(held, text_of(error), retryable=error.retryable, retry_at=error.retry_at)
        case error:
            fail = failed(held, described(error))
    return msgspec.structs.replace(fail, traceback=traceback_of(error))


def failed(held: dict[str, Any], error: str, *, retryable: bool = True, retry_at: int | None = None) -> Fail:
    """The report of a failure; its text is cut to what the service takes, and can be encoded."""
    text = error.encode("utf-8", "replace").decode()[:MAXIMUM_ERROR_CHARACTERS]
    return Fail(**held, error=text, retryable=retryable, retry_at=retry_at)


def described(error: BaseException) -> str:
    """The type of an exception, and its text if it has one."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """The text of an exception, and an empty one if even that raises."""
    try:
        return str(error)
    except Exception:
        return ""


def _completed(held: dict[str, Any], value: Any) -> Command:
    if value is None:
        return Complete(**held)
    try:
        return Complete(**held, result=msgspec.Raw(msgspec.json.encode(value)))
    except Exception as error:
        # Not retryable: the work has been done, and the next attempt would return the same.
        return failed(held, f"the result cannot be written as JSON: {text_of(error)}", retryable=False)

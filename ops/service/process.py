"""The process of a service: serves until it is told to stop, and restores the store between two services.

serve ──▶ asked to restore ──▶ drained, ended ──▶ restored ──▶ serve …     the HTTP server stays
└─────▶ told to stop ──────▶ drained, ended
"""

import asyncio
import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from bus.replication.log_stream import OutdatedFileError
from hyperpage_client.tasks import cancel
from ops.health.cause import status_of
from ops.service.composition import Service
from ops.service.connections import http_server
from ops.service.demo.workload import run_demo
from ops.service.errors import ServiceError
from ops.service.restores import Restores
from ops.service.supervision import Supervisor
from ops.settings import Settings
from ops.store.data_directory import Runtime, read_runtime
from ops.store.troubles import hint_of, message_of

if TYPE_CHECKING:
    from ops.http.server import HttpServer

# One Ctrl-C can arrive twice: from the terminal, and from a parent program that passes it on. A signal within
# this time counts as the same request.
SAME_REQUEST_SECONDS = 1.0
# How long a start may go on after a stop is asked for. Most take a moment, but a member of a cluster may wait
# a minute for others.
GIVEN_UP_AFTER_SECONDS = 2.0
PR_SET_DUMPABLE = 4
# Options of glibc's allocator, from <malloc.h>.
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8

logger = logging.getLogger("hyperpage")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of `serve`. `announce` is called each time that a service is ready."""

    settings: Settings
    announce: Callable[[Runtime], None]
    demo: bool = False


async def serve(order: Order) -> None:
    """Serves until SIGTERM or SIGINT; each requested restore happens between two services.

    Raises:
        ServiceError: a service cannot start, or a part of it that must not end has failed.
    """
    keep_memory_private()
    keep_memory_small()
    supervisor = Supervisor()
    telling = asyncio.create_task(supervisor.run(), name="what the supervisor is told")
    stop = _stop_on_signals()
    restores = Restores(order.settings)
    async with AsyncExitStack() as stack:
        stack.callback(supervisor.close)
        stack.push_async_callback(cancel, telling)
        # One HTTP server for all services of this process. The first starts it, once it has locked the
        # directory.
        if (http := http_server(order.settings)) is not None:
            stack.push_async_callback(http.stop)
        while await _serve_once(order, stop, restores, http, supervisor):
            order = msgspec.structs.replace(order, demo=False)


def keep_memory_small() -> None:
    """Has freed memory go back to the system, if the C library is glibc.

    Otherwise each thread has an arena of its own, and keeps memory that backups and merged segments needed
    for a moment: after some minutes of load, four times as much as is in use.
    """
    if (set_option := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        set_option(M_ARENA_MAX, 2)
        set_option(M_MMAP_THRESHOLD, 1024 * 1024)


def keep_memory_private() -> None:
    """Keeps this user's other processes, the nats-server too, from reading this one's memory and variables.

    Variables may hold the keys of a bucket. No core dump is made, either, not even by a handler that ignores
    limits. Only Linux has this (prctl(2), PR_SET_DUMPABLE); root can read all the same.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, ctypes.c_ulong(0))


def leave_alone_what_is_there() -> None:
    """Has Python's collector of cycles skip all objects that exist now, since nearly all of them stay.

    A look through all of them stops every thread for some 20 ms, which a busy service did every few thousand
    commands. Objects of a service that has ended are collected at the next call.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def _serve_once(
    order: Order,
    stop: asyncio.Future[float],
    restores: Restores,
    http: "HttpServer | None",
    supervisor: Supervisor,
) -> bool:
    """Runs one service. True: another one follows, after a restore or repair, or for an outdated file."""
    service = Service(order.settings, more_administration=restores.verbs(), http=http)
    restoring = asyncio.create_task(restores.asked(), name="waiting for a restore")
    if not await _is_started(service, stop):
        await cancel(restoring)
        return False
    leave_alone_what_is_there()
    if (act := restores.take_act()) is not None:
        service.parts.record(act)
    if restores.unrepaired is not None:
        service.readers.damage.found(restores.unrepaired)
    damaged = asyncio.create_task(
        service.health.damage_to_repair(restores.repairs_of_a_day), name="waiting for damage"
    )
    failed = asyncio.create_task(service.failure(), name="failure of the service")
    working = asyncio.create_task(_demo(order.settings), name="demo") if order.demo else None
    try:
        if not stop.done():
            order.announce(_runtime(order.settings))
            supervisor.enter(
                "serving",
                is_alive=lambda: service.role.is_alive,
                says=lambda: _health_in_short(service),
            )
        either: set[asyncio.Future[Any]] = {failed, stop, restoring, damaged}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        is_outdated = _is_outdated(failed)
        is_to_go_on = (restoring.done() or damaged.done() or is_outdated) and not stop.done()
        supervisor.enter("restoring" if is_to_go_on else "stopping")
        # The demo ends first: its commands would only be refused.
        if working is not None:
            await cancel(working)
        await service.stop()
    if failed.done() and (error := failed.exception()) and not is_outdated:
        raise error
    is_asked_for = restoring.done()
    if is_asked_for:
        await restores.carry_out()
    elif is_to_go_on and not is_outdated:
        await restores.repair(damaged.result(), service.role.head)
    for each in (failed, restoring, damaged):
        await cancel(each)
    return is_asked_for or is_to_go_on


def _is_outdated(failed: "asyncio.Task[None]") -> bool:
    """Whether a service has ended because its file is outdated; the next start makes the file anew."""
    error = failed.exception() if failed.done() else None
    if error is None or not isinstance(error.__cause__, OutdatedFileError):
        return False
    logger.warning("%s", error.__cause__)
    return True


def _health_in_short(service: Service) -> str:
    causes = service.health.causes
    names = ", ".join(dict.fromkeys(one.cause for one in causes))
    return f"{status_of(causes)}{': ' if names else ''}{names}"


def _stop_on_signals() -> asyncio.Future[float]:
    """A future that is done at the first signal to stop. A later second signal ends the process at once.

    That is as safe as any crash: every answered command is on disk.
    """
    loop = asyncio.get_running_loop()
    stop = loop.create_future()

    def requested() -> None:
        if not stop.done():
            logger.info("stopping, once what was taken is stored, answered and sent")
            stop.set_result(loop.time())
        elif loop.time() - stop.result() > SAME_REQUEST_SECONDS:
            os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, requested)
    return stop


async def _is_started(service: Service, stop: asyncio.Future[float]) -> bool:
    """Starts a service. False: it was told to stop while its start waited, and nothing is left open.

    A start is given up only `GIVEN_UP_AFTER_SECONDS` after a signal to stop.

    Raises:
        ServiceError: the service cannot start.
    """
    starting = asyncio.create_task(_start(service), name="the start of the service")
    either: set[asyncio.Future[Any]] = {starting, stop}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({starting}, timeout=GIVEN_UP_AFTER_SECONDS)
    if not starting.done():
        logger.info("the start is given up")
        await cancel(starting)
        if starting.cancelled():
            return False
    # Raises the start's error, also if the start ended by itself while it was cancelled.
    starting.result()
    return True


async def _start(service: Service) -> None:
    """Returns when the service serves.

    Raises:
        ServiceError: the service cannot start.
    """
    try:
        await service.start()
    except Exception as error:
        # The traceback is logged for debugging only; the message says why, and the hint what to do.
        logger.debug("the service cannot start", exc_info=error)
        raise ServiceError(_reason(service.settings, error), hint=hint_of(error)) from error


def _reason(settings: Settings, error: BaseException) -> str:
    if isinstance(error, apsw.Error):
        return f"{settings.store_path} cannot be used: {message_of(error)}"
    return message_of(error)


def _runtime(settings: Settings) -> Runtime:
    runtime = read_runtime(settings.data)
    assert runtime is not None, "a service that has started has written it"
    return runtime


async def _demo(settings: Settings) -> None:
    runtime = _runtime(settings)
    try:
        await run_demo(runtime.nats, runtime.prefix, runtime.nats_access)
    except Exception as error:
        logger.warning("the demo ended: %s", str(error) or type(error).__name__)

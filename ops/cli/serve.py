"""`hyperpage serve`: runs the service until it is told to stop."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from bus.tasks import cancel
from ops.cli.asking import without_credentials
from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_json
from ops.service.supervision import Supervisor
from ops.store.data_directory import read_runtime

if TYPE_CHECKING:
    from ops.http.server import HttpServer
    from ops.service.composition import Service
    from ops.service.restores import Restores
    from ops.settings import Settings

# One Ctrl-C can come twice: from the terminal, and from a program around this one that passes it on.
SAME_REQUEST_SECONDS = 1.0

logger = logging.getLogger("hyperpage")


def serve(
    *,
    nats: Annotated[
        str | None,
        option("A nats-server with JetStream to use, credentials included. Default: one of its own."),
    ] = None,
    nats_port: Annotated[
        int | None,
        option("Port of its own nats-server. Default: 4222 if that is free, else a free one; 0: a free one."),
    ] = None,
    http: Annotated[
        str | None,
        option(
            "Where the HTTP API listens, as HOST:PORT. Default: 127.0.0.1:8822 if that port is free, else a"
            " free one."
        ),
    ] = None,
    no_http: Annotated[bool, option("No HTTP API.")] = False,
    prefix: Annotated[str | None, option("What every subject begins with. Default: hyperpage.")] = None,
    demo: Annotated[
        bool, option("Send itself a small, realistic workload, for a first look around.")
    ] = False,
    log_level: Annotated[
        str | None, option("DEBUG, INFO, WARNING or ERROR; logs go to stderr. Default: INFO.")
    ] = None,
    log_format: Annotated[
        str | None, option("console: for people, or json: one object a line. Default: console.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Runs the service on a data directory, until Ctrl-C or SIGTERM.

    For example:

        hyperpage serve
        hyperpage serve --demo
        hyperpage serve --data /var/lib/hyperpage --nats nats://broker:4222

    It prints one line when it is ready; the other commands find it by its
    directory. When it is told to stop, it takes no more commands, and ends
    when all that it took is stored, answered and sent.

    Every option can also be a variable, such as HYPERPAGE_NATS_PORT, or stand
    in DIR/hyperpage.toml as nats_port.
    """
    settings = settings_for(
        data,
        nats=nats,
        nats_port=nats_port,
        http=http,
        # A flag that was not given says nothing: the variable or the file may.
        no_http=no_http or None,
        prefix=prefix,
        log_level=log_level,
        log_format=log_format,
    )
    from migrations.connection import without_memory_statistics
    from ops.service.logs import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    without_memory_statistics()
    from ops.service.traces import sending_traces
    from ops.version import service_version

    with sending_traces(service_version()):
        return asyncio.run(_serve(settings, demo=demo, as_json=as_json))


async def _serve(settings: "Settings", *, demo: bool, as_json: bool) -> int:
    from ops.service.restores import Restores

    supervisor = Supervisor()
    telling = asyncio.create_task(supervisor.run(), name="what the supervisor is told")
    stop = _stop_on_signals()
    restores = Restores(settings)
    try:
        async with _listening(settings) as http:
            while await _serve_once(settings, stop, restores, http, supervisor, demo=demo, as_json=as_json):
                await restores.carry_out()
                demo = False
    finally:
        await cancel(telling)
    return Exit.DONE


@asynccontextmanager
async def _listening(settings: "Settings") -> "AsyncIterator[HttpServer | None]":
    """An HTTP server for all services of this process, unless there is to be none."""
    if settings.no_http:
        yield None
        return
    from ops.http.server import HttpServer

    # The first service starts it, once the directory is its own.
    server = HttpServer(settings)
    try:
        yield server
    finally:
        await server.stop()


async def _serve_once(
    settings: "Settings",
    stop: "asyncio.Future[float]",
    restores: "Restores",
    http: "HttpServer | None",
    supervisor: Supervisor,
    *,
    demo: bool,
    as_json: bool,
) -> bool:
    """Serves until it is to stop, or, which is what the answer says, until the store is to be restored."""
    from ops.service.composition import Service

    service = Service(settings, more_administration=restores.verbs(), http=http)
    restoring = asyncio.create_task(restores.asked(), name="waiting for a restore")
    # A start is not cut off in the middle, whatever is asked for meanwhile: it takes a moment, and everything
    # that it opened is closed in order.
    await _start(service)
    if (act := restores.take_act()) is not None:
        service.record(act)
    failed = asyncio.create_task(service.failure(), name="failure of the service")
    working = asyncio.create_task(_demo(settings), name="demo") if demo else None
    try:
        if not stop.done():
            _announce(settings, as_json)
            supervisor.enter(
                "serving",
                is_alive=lambda: service.writer.is_alive,
                says=lambda: _health_in_short(service),
            )
        either: set[asyncio.Future[Any]] = {failed, stop, restoring}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        supervisor.enter("restoring" if restoring.done() and not stop.done() else "stopping")
        # The demo first: it would only see its commands refused.
        if working is not None:
            await cancel(working)
        await service.stop()
    if failed.done() and (error := failed.exception()):
        raise failure(Exit.FAILED, "failed", str(error)) from error
    is_to_be_restored = restoring.done()
    await cancel(failed)
    await cancel(restoring)
    return is_to_be_restored


def _health_in_short(service: "Service") -> str:
    from ops.health.monitor import status_of

    causes = service.health.causes
    names = ", ".join(dict.fromkeys(one.cause for one in causes))
    return f"{status_of(causes)}{': ' if names else ''}{names}"


def _stop_on_signals() -> "asyncio.Future[float]":
    """Done when somebody asks to stop. Who asks again does not want to wait: then the process ends at once.

    That is as safe as any crash: what was answered is on disk.
    """
    loop = asyncio.get_running_loop()
    stop = loop.create_future()

    def requested() -> None:
        if not stop.done():
            logger.info("stopping, once what was taken is stored, answered and sent")
            stop.set_result(loop.time())
        elif loop.time() - stop.result() > SAME_REQUEST_SECONDS:
            os._exit(Exit.FAILED)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, requested)
    return stop


async def _start(service: "Service") -> None:
    """Returns when the service serves.

    Raises:
        CommandFailure: it cannot start.
    """
    try:
        await service.start()
    except Exception as error:
        # The traceback is for those who ask for it; the message says why and what to do.
        logger.debug("the service cannot start", exc_info=error)
        hint = str(getattr(error, "hint", ""))
        raise failure(Exit.FAILED, "failed", _reason(service.settings, error), hint) from error


def _reason(settings: "Settings", error: BaseException) -> str:
    import apsw

    if isinstance(error, apsw.Error):
        return f"{settings.store_path} cannot be used: {error}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _announce(settings: "Settings", as_json: bool) -> None:
    runtime = read_runtime(settings.data)
    assert runtime is not None, "a service that has started has written it"
    if as_json:
        print_json(runtime)
    else:
        print(
            f"hyperpage {runtime.version} serves {settings.data} at {without_credentials(runtime.nats_url)}"
            f"{f' and {runtime.http_url}' if runtime.http_url else ''}"
            f"  store {runtime.store_id}  position {runtime.position}"
        )
    # Whoever started it with a pipe waits for this line.
    sys.stdout.flush()


async def _demo(settings: "Settings") -> None:
    runtime = read_runtime(settings.data)
    assert runtime is not None, "a service that has started has written it"
    try:
        from ops.service.demo import run_demo

        await run_demo(runtime.nats_url, runtime.prefix)
    except Exception as error:
        logger.warning("the demo ended: %s", str(error) or type(error).__name__)

"""`hyperpage serve` and `hyperpage follow`: run a service until it is told to stop."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from hyperpage_client.transport.access import without_credentials
from ops.cli.terminal.exits import CommandFailure, Exit, failure
from ops.cli.terminal.options import AggregatesOption, DataOption, JsonOption, one_of, option, settings_for
from ops.cli.terminal.output import print_result, say
from ops.cli.terminal.recording import recorded, user
from ops.store.data_directory import Runtime

if TYPE_CHECKING:
    from ops.settings import Settings

logger = logging.getLogger(__name__)

NatsCredentialsOption = Annotated[
    Path | None,
    option("File with the credentials for it: an NKey's seed, a creds file, a certificate with its key."),
]
NatsCaOption = Annotated[
    Path | None, option("The certificate authority of that nats-server, in PEM. Default: the system's.")
]
NatsPortOption = Annotated[
    int | None,
    option("Port of its own nats-server. Default: 4222 if that is free, else a free one; 0: a free one."),
]
RoleOption = Annotated[
    str | None,
    option(
        "Its role among services with one log: member, which may lead, or follower, which only reads.",
        completer=one_of("member", "follower"),
    ),
]
HttpOption = Annotated[
    str | None,
    option(
        "Where the HTTP API listens, as HOST:PORT. Default: 127.0.0.1:8822 if that port is free, else a"
        " free one."
    ),
]
HttpOpenOption = Annotated[
    bool,
    option(
        "No token is needed over HTTP: every program on this machine may do everything. On the loopback only."
    ),
]
PrefixOption = Annotated[str | None, option("The beginning of every subject. Default: hyperpage.")]
LogLevelOption = Annotated[
    str | None,
    option(
        "DEBUG, INFO, WARNING or ERROR; logs go to stderr. Default: INFO.",
        completer=one_of("DEBUG", "INFO", "WARNING", "ERROR"),
    ),
]
LogFormatOption = Annotated[
    str | None,
    option(
        "console: for people, or json: one object a line. Default: console.",
        completer=one_of("console", "json"),
    ),
]


def serve(
    *,
    nats: Annotated[
        str | None,
        option(
            "A nats-server with JetStream to use, or several of one cluster with commas between them,"
            " credentials included. Default: one of its own."
        ),
    ] = None,
    nats_credentials: NatsCredentialsOption = None,
    nats_ca: NatsCaOption = None,
    nats_port: NatsPortOption = None,
    http: HttpOption = None,
    no_http: Annotated[bool, option("No HTTP API.")] = False,
    http_open: HttpOpenOption = False,
    prefix: PrefixOption = None,
    role: RoleOption = None,
    aggregates: AggregatesOption = None,
    demo: Annotated[
        bool, option("Send itself a small, realistic workload, for a first look around.")
    ] = False,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Runs the service on a data directory, until Ctrl-C or SIGTERM.

    For example:

        hyperpage serve
        hyperpage serve --demo
        hyperpage serve --data /var/lib/hyperpage --nats nats://broker:4222

    It prints one line when it is ready; the other commands find it by its
    directory. At a terminal, it also prints a link that opens the console once.
    When it is told to stop, it takes no more commands, and ends when all
    commands that it took are stored and answered, and their events sent.

    Every option can also be set by a variable, such as HYPERPAGE_NATS_PORT, or
    in DIR/hyperpage.toml, as nats_port.
    """
    settings = settings_for(
        data,
        aggregates=aggregates,
        nats=nats,
        nats_credentials=nats_credentials,
        nats_ca=nats_ca,
        nats_port=nats_port,
        http=http,
        # `None` instead of False: without the flag, the variable or the file decides.
        no_http=no_http or None,
        http_open=http_open or None,
        prefix=prefix,
        role=role,
        log_level=log_level,
        log_format=log_format,
    )
    _serve(settings, demo=demo, as_json=as_json)


def follow(
    *,
    nats: Annotated[
        str | None, option("The nats-server on which the leader keeps the log, credentials included.")
    ] = None,
    nats_credentials: NatsCredentialsOption = None,
    nats_ca: NatsCaOption = None,
    http: HttpOption = None,
    no_http: Annotated[bool, option("No HTTP API.")] = False,
    http_open: HttpOpenOption = False,
    prefix: PrefixOption = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follows the log of a service, and answers queries, until Ctrl-C or SIGTERM.

    For example:

        hyperpage follow --data /var/lib/hyperpage --nats nats://broker:4222

    The same as `hyperpage serve --role follower`: it keeps a copy of the store,
    never leads, and takes no commands. Its file is made from the newest backup
    that it can reach, the archive and the log.
    """
    settings = settings_for(
        data,
        role="follower",
        nats=nats,
        nats_credentials=nats_credentials,
        nats_ca=nats_ca,
        http=http,
        no_http=no_http or None,
        http_open=http_open or None,
        prefix=prefix,
        log_level=log_level,
        log_format=log_format,
    )
    _serve(settings, demo=False, as_json=as_json)


def _serve(settings: "Settings", *, demo: bool, as_json: bool) -> None:
    from migrations.connection import without_memory_statistics
    from ops.service.logs import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    without_memory_statistics()
    from ops.service.errors import ServiceError
    from ops.service.process import Order
    from ops.service.process import serve as serve_until_stopped
    from ops.service.traces import sending_traces
    from ops.version import service_version

    def announce(runtime: Runtime) -> None:
        print_result(runtime, as_json, _announcement(runtime, settings.data))
        # Flush, since a program that started this one with a pipe waits for the line.
        sys.stdout.flush()
        if (note := _other_ports(runtime, settings)) and not noted:
            noted.append(note)
            logger.warning(note)
        if link_is_wanted and runtime.http_url is not None and not links:
            links.append(_new_link(settings, runtime.http_url))
            say(links[0])

    # A restore starts a new service in this process; only the first one prints a link.
    links: list[str] = []
    noted: list[str] = []
    link_is_wanted = settings.console_link == "always" or (
        settings.console_link == "terminal" and sys.stderr.isatty()
    )
    order = Order(settings=settings, announce=announce, demo=demo)
    with sending_traces(service_version()):
        try:
            asyncio.run(serve_until_stopped(order))
        except ServiceError as error:
            raise failure(Exit.FAILED, "failed", str(error), error.hint) from error


def _new_link(settings: "Settings", http_url: str) -> str:
    from ops.http.access.links import LIFETIME_MS, LogInLinks, address_of_link

    try:
        with recorded(settings, "console.link", {"role": "admin"}):
            code = LogInLinks(settings.data).create(by=user())
    except CommandFailure as error:
        return f"There is no link to the console: {error.message}"
    except OSError as error:
        return f"There is no link to the console: {error.filename}: {error.strerror}"
    minutes = LIFETIME_MS // 60_000
    return f"The console, once and within {minutes} minutes: {address_of_link(http_url, code)}"


def _other_ports(runtime: Runtime, settings: "Settings") -> str:
    """A warning that a service is not at the usual ports, although no others were set; else an empty text."""
    from bus.broker.server import USUAL_PORT as NATS
    from ops.http.server import USUAL_PORT as HTTP

    others = []
    if settings.nats is None and settings.nats_port is None and not runtime.nats.endswith(f":{NATS}"):
        others.append(f"NATS is at {without_credentials(runtime.nats)}, not at {NATS}")
    if settings.http is None and runtime.http_url and not runtime.http_url.endswith(f":{HTTP}"):
        others.append(f"HTTP is at {runtime.http_url}, not at {HTTP}")
    if not others:
        return ""
    return (
        f"{'; '.join(others)}: another program had that, perhaps another service. Commands find this one with"
        f" --data {settings.data}; whatever asks at the usual ports asks the other one"
    )


def _announcement(runtime: Runtime, data: Path) -> str:
    return (
        f"hyperpage {runtime.version} serves {data} at {without_credentials(runtime.nats)}"
        f"{f' and {runtime.http_url}' if runtime.http_url else ''}"
        f"  store {runtime.store_id}  position {runtime.position}"
    )

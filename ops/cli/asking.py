"""Requests of the command line to the running service: how it is found, and asked."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hyperpage_client.contract.headers import ACTOR, COMMAND_LINE, ERROR_CODE
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.access import Access, without_credentials
from ops.cli.terminal.exits import CommandFailure, Exit, failure, refused, unreachable
from ops.cli.terminal.options import settings_for
from ops.cli.terminal.recording import user
from ops.store.data_directory import read_admin, read_runtime

if TYPE_CHECKING:
    from nats.aio.client import Client

    from hyperpage_client.transport.connection import LeanClient

# The name of all connections of the command line. The service takes them for one program, so they do not make
# it report that several programs share a user.
CLIENT_NAME = "hyperpage command line"
CONNECT_SECONDS = 5
# A refused connection is tried this often, with this pause in between.
REFUSED_TRIES, REFUSED_PAUSE_SECONDS = 8, 0.25
# The time for an administrative request; it may replay many dead letters at once.
ADMINISTRATION_SECONDS = 60.0
STATUS_SECONDS = 10.0
# More than the longest report on the service's health.
MAXIMUM_REPORT_BYTES = 4 * 1024 * 1024


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The address of the service, with credentials, and the names of its subjects."""

    data: Path
    url: str
    access: Access = Access()
    names: BusNames
    inbox_prefix: str
    instance: str = ""
    asked_by_id: bool = False


def application_address(data: Path | None) -> Address:
    """The address for commands, queries and events.

    Raises:
        CommandFailure: no service runs on the directory.
        SettingsError: a setting is wrong.
    """
    settings = settings_for(data)
    runtime = read_runtime(settings.data)
    if runtime is None:
        raise nothing_runs(settings.data)
    names = BusNames(prefix=runtime.prefix, inbox_prefix=settings.inbox_prefix)
    return Address(
        data=settings.data,
        url=runtime.nats,
        access=runtime.nats_access,
        names=names,
        inbox_prefix=names.inbox_prefix.removesuffix("."),
        instance=runtime.instance,
        asked_by_id=runtime.asked_by_id,
    )


def administrator_address(data: Path | None) -> Address:
    """The address for administration; only users who may read the directory's private files get it.

    Raises:
        CommandFailure, SettingsError: as `application_address`.
    """
    address = application_address(data)
    admin = read_admin(address.data)
    if admin is None:
        raise nothing_runs(address.data)
    return msgspec.structs.replace(
        address, url=admin.nats, access=admin.nats_access, inbox_prefix=admin.inbox_prefix
    )


def nothing_runs(data: Path) -> CommandFailure:
    return unreachable(f"no service runs on {data}", f"start one with `hyperpage serve --data {data}`")


@asynccontextmanager
async def connected(address: Address) -> "AsyncIterator[Client]":
    """A connection for the length of the block; it is not made again when it breaks.

    Raises:
        CommandFailure: the nats-server does not answer, or the connection ends before the block does.
    """
    from nats.errors import ConnectionClosedError

    from hyperpage_client.transport.connecting import NotConnectedError

    try:
        client = await _let_in(address)
    except NotConnectedError as error:
        raise unreachable(
            f"the service on {address.data} does not answer at {without_credentials(address.url)}"
            f" ({error.said or 'no answer'})",
            error.hint or f"if it was killed, start it again with `hyperpage serve --data {address.data}`",
        ) from error
    try:
        yield client
    except ConnectionClosedError as error:
        raise unreachable(
            f"the connection to the service on {address.data} ended, as it does when one stops or restores",
            "what was asked may have been done all the same: look, or send a command again with its --id",
        ) from error
    finally:
        await client.close()


async def _let_in(address: Address) -> "LeanClient":
    """A connection; if it is refused, it is tried again for a while.

    While nats-server reloads its configuration, because a user was added or removed, it refuses all users. Of
    its error message, only the closing of the connection may arrive.
    """
    from hyperpage_client.transport.connecting import NotConnectedError, connect

    deadline = time.monotonic() + CONNECT_SECONDS
    for left in range(REFUSED_TRIES, 0, -1):
        try:
            return await connect(
                address.url,
                access=address.access,
                name=CLIENT_NAME,
                inbox_prefix=address.inbox_prefix,
                within_seconds=CONNECT_SECONDS,
                # By default, the client would try the first connection 60 times.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
            )
        except NotConnectedError as error:
            is_passing = error.is_cut_off or "authorization" in error.said.lower()
            if left == 1 or not is_passing or time.monotonic() > deadline:
                raise
        await asyncio.sleep(REFUSED_PAUSE_SECONDS)
    raise AssertionError("unreachable")


async def ask(
    address: Address,
    subject: str,
    body: bytes,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float,
) -> bytes:
    """The answer to one request, as it came.

    Raises:
        CommandFailure: no service is there, there is no answer in time, or the answer is an error.
    """
    from nats.errors import MaxPayloadError, NoRespondersError
    from nats.errors import TimeoutError as NatsTimeoutError

    async with connected(address) as client:
        try:
            message = await client.request(
                subject, body, timeout=timeout_seconds, headers=dict(headers) if headers else None
            )
        except NoRespondersError as error:
            raise unreachable(
                f"the service on {address.data} is not there, or is just stopping",
                "try again; of a cluster, `hyperpage cluster status` says whether anybody leads",
            ) from error
        except NatsTimeoutError as error:
            raise unreachable(
                f"no answer within {timeout_seconds:g} s",
                "what was asked may have been done all the same: a command that was sent with --id can be"
                " sent again, and does nothing twice",
            ) from error
        except MaxPayloadError as error:
            raise failure(
                Exit.FAILED,
                "too_large",
                f"{len(body)} bytes do not fit into a message",
                "nothing was sent: send less at once, a batch in parts",
            ) from error
    return answer_of(message.data, message.headers)


def administer(
    verb: str,
    request: Mapping[str, Any],
    data: Path | None,
    *,
    timeout_seconds: float = ADMINISTRATION_SECONDS,
) -> dict[str, Any]:
    """The decoded answer to one administrative request.

    Raises:
        CommandFailure, SettingsError: as `administrator_address` and `ask`.
    """
    from bus.serving.administration import administration_at

    address = administrator_address(data)
    # Backups, users and the audit log belong to the service on this directory, which is asked by its id. All
    # other requests are about the store, and go to the leader.
    is_of_one = address.asked_by_id and verb.startswith(("backup.", "user.", "audit."))
    asked = administration_at(address.instance, verb) if is_of_one else verb
    subject, body = address.names.administration(asked), msgspec.json.encode(request)
    answer: dict[str, Any] = msgspec.json.decode(
        asyncio.run(
            ask(
                address,
                subject,
                body,
                headers={ACTOR: COMMAND_LINE + user()},
                timeout_seconds=timeout_seconds,
            )
        )
    )
    return answer


async def ask_durably(
    address: Address, name: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float
) -> bytes:
    """The answer to a durable command, which the broker stores before the service sees it.

    Raises:
        CommandFailure: it was not stored, not answered in time, or refused.
    """
    from nats.errors import NoRespondersError
    from nats.errors import TimeoutError as NatsTimeoutError

    from hyperpage_client.contract.headers import COMMAND_ID
    from hyperpage_client.identifiers import new_id
    from hyperpage_client.transport.jetstream_answers import error_in

    headers = {COMMAND_ID: new_id(), **headers}
    async with connected(address) as client:
        # Subscribe first: the answer may arrive before the broker confirms that it has stored the command.
        results = await client.subscribe(address.names.result(headers[COMMAND_ID]))
        try:
            stored = await client.request(
                address.names.durable_command(name), body, timeout=timeout_seconds, headers=dict(headers)
            )
        except (NoRespondersError, NatsTimeoutError) as error:
            raise unreachable(
                "the broker did not say that it has stored the command",
                "it may have, all the same: send it again with the same --id, and it is carried out once",
                command_id=headers[COMMAND_ID],
            ) from error
        if (problem := error_in(stored.data)) is not None:
            raise failure(
                Exit.FAILED,
                "not_stored",
                f"not stored: {problem.description}",
                "nothing was changed: `hyperpage status` says whether too many durable commands wait",
            )
        try:
            result = await results.next_msg(timeout_seconds)
        except NatsTimeoutError as error:
            raise unreachable(
                f"the command is stored, and was not answered within {timeout_seconds:g} s",
                "it is carried out when a service is there again",
                command_id=headers[COMMAND_ID],
            ) from error
    return answer_of(result.data, result.headers)


def asked_status(data: Path | None, instance: str | None = None) -> bytes:
    """The running service's report on its health, over the bus or, without its broker, over HTTP.

    The service on this directory is asked, even if others serve the same prefix; or the service `instance`.

    Raises:
        CommandFailure: no service runs, or it does not answer.
    """
    from bus.serving.discovery import status_subject

    try:
        address = application_address(data)
        asked = instance or address.instance
        # A service of an older version has no id, and answers only the query.
        subject = status_subject(asked) if asked else address.names.query("service.status")
        return asyncio.run(ask(address, subject, b"", timeout_seconds=STATUS_SECONDS))
    except CommandFailure as error:
        said = None if instance else _status_over_http(data)
        if said is None:
            # Scripts read the field `status`, so it is there in this case, too.
            report = {"status": "unhealthy", "reasons": [error.message], "error": error.error}
            raise CommandFailure(error.exit_code, error.error, answer=report) from error
        return said


def _status_over_http(data: Path | None) -> bytes | None:
    """The report, as JSON; `None` if the service does not answer, or refuses."""
    import http.client
    import ssl
    from urllib.parse import urlsplit

    settings = settings_for(data)
    runtime, admin = read_runtime(settings.data), read_admin(settings.data)
    if runtime is None or runtime.http_url is None or admin is None:
        return None
    # Connects directly, even if the environment names a proxy.
    address = urlsplit(runtime.http_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=STATUS_SECONDS)
    try:
        if address.scheme == "https":
            # The service is trusted by its own certificate, whatever host name is in it.
            context = ssl.create_default_context(cafile=settings.http_certificate)
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            connection = http.client.HTTPSConnection(
                address.hostname or "", address.port, timeout=STATUS_SECONDS, context=context
            )
        bearer = {"Authorization": f"Bearer {admin.http_secret}"}
        connection.request("GET", "/readyz?verbose", headers=bearer)
        response = connection.getresponse()
        body = response.read(MAXIMUM_REPORT_BYTES)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    # An unhealthy service sends its report with 503. So the content type decides: a refusal has another one.
    return body if response.headers.get_content_type() == "application/json" else None


def answer_of(body: bytes, headers: Mapping[str, str] | None) -> bytes:
    """The body of an answer.

    Raises:
        CommandFailure: the answer is an error.
    """
    if headers and ERROR_CODE in headers:
        raise refused(msgspec.json.decode(body)["error"])
    return body

"""Connecting to a service: `connect`, and `address_in`, the address of a service on this machine."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

import msgspec

from hyperpage_client.asking.connection import ClientConnection
from hyperpage_client.client import Client
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.documents import decoded
from hyperpage_client.transport.access import Access


class _Runtime(msgspec.Struct):
    nats_url: str


def address_in(folder: Path | str) -> str:
    """The address of the service that runs on that folder, with the credentials of the user `app`.

    Raises:
        FileNotFoundError: no service runs there; the message says how to start one.
        OSError: the file with the address may not be read.
        msgspec.DecodeError: that file is damaged.
    """
    path = Path(folder, "runtime.json")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        said = (
            f"no service runs on {folder}, and writes its address here: start"
            f" `hyperpage serve --data {folder}`, or name the address of one"
        )
        raise FileNotFoundError(errno.ENOENT, said, str(path)) from None
    return decoded(msgspec.json.Decoder(_Runtime).decode, content).nats_url


class ConnectOptions(TypedDict, total=False):
    """The options of `connect`, beside the address."""

    prefix: str
    actor: str | None
    reads_own_writes: bool
    reads_from_leader: bool
    inbox_prefix: str
    name: str
    timeout_seconds: float
    credentials: Path | str | None
    ca: Path | str | None
    certificate: Path | str | None
    key: Path | str | None


@asynccontextmanager
async def connect(
    url: str,
    *,
    prefix: str = "hyperpage",
    actor: str | None = None,
    reads_own_writes: bool = True,
    reads_from_leader: bool = False,
    inbox_prefix: str = "_INBOX",
    name: str = "hyperpage client",
    timeout_seconds: float = 10.0,
    credentials: Path | str | None = None,
    ca: Path | str | None = None,
    certificate: Path | str | None = None,
    key: Path | str | None = None,
) -> AsyncIterator[Client]:
    """A client for the length of the block, over one connection, which is made again whenever it is lost.

    `url` has the credentials, or `credentials` is a file with them: the seed of an NKey, a creds file (JWT),
    or a certificate with its key. `ca` is the file of the authority that vouches for the server, by default
    the system's; `certificate` and `key` are the client's own, for mutual TLS. With any of these three, or
    `tls://` in the address, nothing is sent before the connection is encrypted and the server's certificate
    and name are checked. Files are in PEM, and read again for each new connection. `actor` is noted with
    every command that names no other one; for `reads_own_writes` and `reads_from_leader`, see `Client`.

    Raises:
        Unreachable: no nats-server accepts the connection within `timeout_seconds`, or none ever will; it
            says why.
    """
    names = BusNames(prefix=prefix, inbox_prefix=f"{inbox_prefix}.")
    connection = await ClientConnection.open(
        url,
        inbox_prefix=inbox_prefix,
        name=name,
        timeout_seconds=timeout_seconds,
        access=Access.of(credentials=credentials, ca=ca, certificate=certificate, key=key),
    )
    try:
        yield Client(
            connection,
            names,
            actor=actor,
            reads_own_writes=reads_own_writes,
            reads_from_leader=reads_from_leader,
        )
    finally:
        await connection.close()

"""TLS with certificates from files that may change while the server runs: `Certificates`.

A new connection uses the files as they are now; open connections stay. A client's name is the common name
(CN) of its certificate's subject. It counts while the certificate is valid and the file still has the
authority that the connection was made with.
"""

import hashlib
import logging
import ssl
import time
from asyncio import BaseTransport
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ops.store.troubles import TOO_MANY_FILES

READ_BYTES = 32 * 1024

logger = logging.getLogger(__name__)


class TlsError(RuntimeError):
    """TLS cannot be set up with these files; the message says why, `hint` what to do."""

    hint = (
        "both are in PEM, belong together, and may be read by this user, without a password:"
        " http_certificate, http_key, and http_client_ca"
    )


class _Context(ssl.SSLContext):
    """A context that remembers the authority of clients' certificates; `authority` is the file's SHA-256."""

    authority: bytes | None = None


class Certificates:
    """A server's certificate and key, and the authority of its clients, if it has one. All are PEM files.

    Raises:
        TlsError: the files cannot be read, or do not belong together.
    """

    def __init__(self, certificate: Path, key: Path, client_authority: Path | None) -> None:
        # Asyncio keeps a buffer of this size for each TLS connection: its 256 KiB take a gigabyte for 4,096
        # of them. There is no other way to set it; records have 16 KiB at most.
        SSLProtocol.max_size = READ_BYTES
        self._certificate = certificate
        self._key = key
        self._client_authority = client_authority
        self._seen = self._stamps()
        self.context = self._made()
        """The TLS context of the next connection."""

    def refresh(self) -> None:
        """Loads the files if they changed. On failure, the reason is logged and the last good ones stay."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        try:
            self.context = self._made()
        except TlsError as error:
            logger.warning("HTTPS goes on with the certificate that it had: %s", error)
            if getattr(error.__cause__, "errno", None) in TOO_MANY_FILES:
                # The files themselves may be fine: the next connection reads them again.
                return
        else:
            logger.info("HTTPS has a new certificate, key or authority of clients")
        self._seen = stamps

    def name_of(self, transport: BaseTransport) -> Callable[[], str | None]:
        """A function for the name in the client's certificate; `None` if it is missing or does not count."""
        peer: dict[str, Any] = transport.get_extra_info("peercert") or {}
        socket = transport.get_extra_info("ssl_object")
        context = None if socket is None else socket.context
        names = [value for part in peer.get("subject", ()) for kind, value in part if kind == "commonName"]
        if len(names) != 1 or not isinstance(context, _Context) or context.authority is None:
            return lambda: None
        authority = context.authority
        expires = ssl.cert_time_to_seconds(peer["notAfter"])

        def name() -> str | None:
            is_good = time.time() < expires and self.context.authority == authority
            return names[0] if is_good else None

        return name

    def _made(self) -> _Context:
        context = _Context(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Clients could make the server waste work by asking for renegotiation.
        context.options |= ssl.OP_NO_RENEGOTIATION
        # Each connection shows its certificate anew: tickets would let in clients with revoked certificates.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        context.set_alpn_protocols(["http/1.1"])
        try:
            # Without this function, OpenSSL would ask for a password at the terminal.
            context.load_cert_chain(self._certificate, self._key, password=_has_password)
            if self._client_authority is not None:
                pem = self._client_authority.read_bytes()
                context.load_verify_locations(self._client_authority)
                context.verify_mode = ssl.CERT_OPTIONAL
                context.authority = hashlib.sha256(pem).digest()
                if b"BEGIN X509 CRL" in pem:
                    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        except (OSError, ValueError) as error:
            files = [self._certificate, self._key, *filter(None, [self._client_authority])]
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise TlsError(f"TLS with {', '.join(map(str, files))}: {reason}") from error
        return context

    def _stamps(self) -> tuple[tuple[int, ...], ...]:
        return tuple(map(_stamp, (self._certificate, self._key, self._client_authority)))


def _has_password() -> NoReturn:
    raise ValueError("the key has a password, which nobody could give at a start")


def _stamp(file: Path | None) -> tuple[int, ...]:
    try:
        stat = file.stat() if file is not None else None
    except OSError:
        return ()
    return () if stat is None else (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)

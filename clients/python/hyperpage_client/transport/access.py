"""Access to a nats-server: its address, the credentials of the client, and the authorities it trusts."""

import os
import re
import ssl
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypedDict
from urllib.parse import unquote, urlsplit

import msgspec

if TYPE_CHECKING:
    from hyperpage_client.transport.nkeys import NKey

# More than any of these files has.
LONGEST_FILE_BYTES = 256 * 1024
_JWT = b"-----BEGIN NATS USER JWT-----"
_SEED = b"-----BEGIN USER NKEY SEED-----"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_SCHEME = re.compile(r"\s*\w+://")
_BEFORE_A_SCHEME = re.compile(r",(?=\s*\w+://)")


class AccessError(ConnectionError):
    """A login is not possible with this address and these files, or is not safe; the hint says what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Files(TypedDict):
    """The files of a client, by the names of its options."""

    credentials: str | None
    ca: str | None
    certificate: str | None
    key: str | None


class Access(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The files with a client's credentials, and the authorities that it trusts, beside a server's address.

    `credentials` is the seed of an NKey, a creds file (JWT and seed), or a certificate with its key, in PEM.
    `certificate` and `key` are the client's own for mutual TLS, in PEM; `key` may stand in the same file.
    `ca` has the authorities that may vouch for the server, in PEM; without it, those of the system may. With
    any of the last three, nothing is sent unencrypted.

    The files are read for each connection, so that the next one takes new files.
    """

    credentials: str | None = None
    certificate: str | None = None
    key: str | None = None
    ca: str | None = None

    @classmethod
    def of(cls, **files: Path | str | None) -> "Access":
        """Access with the files at these paths; `~` is the home directory."""
        return cls(**{name: str(Path(file).expanduser()) for name, file in files.items() if file is not None})

    @property
    def files(self) -> Files:
        """The files by their names."""
        return Files(credentials=self.credentials, ca=self.ca, certificate=self.certificate, key=self.key)

    @property
    def asks_for_tls(self) -> bool:
        """Whether there is a file that is of use with TLS alone."""
        return any((self.ca, self.certificate, self.key)) or self._is_certificate

    def require_sound(self, address: str) -> None:
        """Checks the files, before a server is asked.

        Raises:
            AccessError: a file is not what it should be, or the address has credentials, too.
            OSError: a file cannot be read.
        """
        login = self.login()
        if login is not None and has_credentials(address):
            raise AccessError(
                f"the address has a user, and {self.credentials} says, too, who one is",
                hint="leave one of them out",
            )
        if self.asks_for_tls or asks_for_tls(address):
            self.tls()

    def login(self) -> "Login | None":
        """The key that signs the server's challenge; `None` if the user shows something else, or nothing.

        Raises:
            AccessError: the file with the credentials has no key, or others may read it.
            OSError: it cannot be read.
        """
        if self.credentials is None:
            return None
        content = _secret(Path(self.credentials))
        if _CERTIFICATE in content:
            return None
        return _login(content, self.credentials)

    def tls(self) -> ssl.SSLContext:
        """The context of TLS 1.2 or newer, which checks the server's certificate and name.

        Raises:
            AccessError: a file is not what it should be, or others may read a key.
            OSError: a file cannot be read.
        """
        if self.key is not None and self.certificate is None:
            raise AccessError(f"{self.key} is a key without a certificate", hint="name that, too")
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError as error:
            raise AccessError(
                f"{self.ca} is not the certificate of an authority: {error.reason or error}",
                hint="it is a file in PEM that begins with -----BEGIN CERTIFICATE-----",
            ) from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate, key = self._own_certificate()
        if certificate is not None:
            _load(context, certificate, key)
        return context

    @property
    def _is_certificate(self) -> bool:
        return self.credentials is not None and _CERTIFICATE in _secret(Path(self.credentials))

    def _own_certificate(self) -> tuple[str | None, str | None]:
        if self._is_certificate:
            return self.credentials, None
        if self.certificate is not None:
            _secret(Path(self.key or self.certificate))
        return self.certificate, self.key


class BrokerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a nats-server, or of several of one cluster, with commas between, and the access to it.

    `url` may have users and passwords. A server that is silent for `ping_seconds` is asked whether it is
    there; None: as seldom as nats-py asks.
    """

    url: str
    access: Access = Access()
    ping_seconds: float | None = None

    @property
    def urls(self) -> list[str]:
        """The address of each nats-server, unchecked."""
        return addresses_in(self.url)

    @property
    def is_on_loopback(self) -> bool:
        """Whether all of them are on this machine."""
        return all(_is_on_loopback(url) for url in self.urls)

    @property
    def shown(self) -> str:
        """The address without credentials, as it may be shown."""
        return without_credentials(self.url)


class Login(msgspec.Struct, frozen=True):
    """The key of a user, and the JWT that an account has issued for it, if there is one."""

    key: "NKey"
    jwt: bytes | None


def addresses_in(url: str) -> list[str]:
    """The address of each nats-server in an address of one or several, unchecked.

    One without a scheme has scheme and user of the one before it; one without a user, the first one's user.
    """
    found: list[str] = []
    first_user = None
    for scheme, user, hosts in _parts_of(url):
        first_user = user if first_user is None else first_user
        found += [scheme + (user or first_user) + host.strip() for host in hosts.split(",")]
    return found


def checked_addresses(url: str) -> list[str]:
    """The address of each nats-server as nats-py understands it, with a scheme.

    Raises:
        AccessError: an address is not valid, or one asks for TLS and another does not. The message repeats
            nothing of an address: it may have a password.
    """
    checked = [_checked(one) for one in addresses_in(url)]
    if len({asks_for_tls(one) for one in checked}) > 1:
        raise AccessError(
            "of the addresses of the nats-servers, one asks for TLS and another one does not",
            hint="begin each with tls://, or each with nats://",
        )
    return checked


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        # Two users and one scheme: the first address would be taken for a part of the second user.
        is_one = not {",", "@"} <= set(parts.netloc.rpartition("@")[0])
        if is_one and parts.scheme in ("nats", "tls") and parts.hostname and parts.port != 0:
            return f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        # A port that is no number, or half of an IPv6 address.
        pass
    raise AccessError(
        "the address of the nats-server is none",
        hint="it is nats://HOST:PORT, or tls://HOST:PORT where nothing may be said in clear, or several of"
        " these with commas between them; websockets are not spoken",
    )


def asks_for_tls(url: str) -> bool:
    """Whether checked addresses say that nothing may be sent unencrypted."""
    return url.startswith("tls://")


def has_credentials(url: str) -> bool:
    """Whether an address, or one of several, has a user, a password or a token."""
    return "@" in url


def user_in(url: str) -> dict[str, str]:
    """A user and a password, or a token, in a checked address, as nats-py takes them.

    A character that would end them is written %XX there. A name without a password is a token.
    """
    parts = urlsplit(url)
    if not parts.username:
        return {}
    name = unquote(parts.username)
    return {"token": name} if parts.password is None else {"user": name, "password": unquote(parts.password)}


def without_credentials(url: str) -> str:
    """The address of a nats-server, or of several, as it may be shown: without a user and a password."""
    return ",".join(scheme + hosts for scheme, _, hosts in _parts_of(url))


def _parts_of(url: str) -> Iterator[tuple[str, str, str]]:
    """Scheme (with `://`), user (with `@`), and hosts with commas between, for each scheme that is named.

    A comma may stand in a password, too: what is before the last `@` is never taken for a host.
    """
    for part in _BEFORE_A_SCHEME.split(url):
        scheme = "" if (found := _SCHEME.match(part)) is None else found[0]
        user, at, hosts = part[len(scheme) :].rpartition("@")
        yield scheme.strip(), user + at, hosts


def _is_on_loopback(url: str) -> bool:
    host = urlsplit(url if "://" in url else f"nats://{url}").hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _load(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    def has_password() -> NoReturn:
        # Without this function, OpenSSL would ask for the password at the terminal.
        raise AccessError(
            f"{key or certificate} has a password",
            hint="take it off (`openssl pkey`), and keep the file to yourself (chmod 0600):"
            " nobody could type it at a start",
        )

    try:
        context.load_cert_chain(certificate, key, password=has_password)
    except ssl.SSLError as error:
        both = certificate if key is None else f"{certificate} and {key}"
        reason = (error.reason or str(error)).replace("_", " ").lower()
        raise AccessError(
            f"{both} are no certificate with its key: {reason}",
            hint="both are in PEM, and belong to each other",
        ) from None


def _login(content: bytes, file: str) -> Login:
    # Imported here: commands without keys need not wait until this library is loaded.
    from hyperpage_client.transport.nkeys import NKey, SeedError

    if _JWT in content:
        jwt, seed = _behind(content, _JWT), _behind(content, _SEED)
    else:
        jwt, seed = None, _first_line(content)
    try:
        # A creds file without a JWT is as wrong as one without a seed.
        return Login(NKey("" if jwt == b"" else seed.decode(errors="replace")), jwt)
    except SeedError:
        raise AccessError(
            f"{file} has no seed of a user",
            hint="it is a line that begins with SU, as `hyperpage nats-config` writes it, a creds file of"
            " `nsc`, or a certificate with its key in PEM; a public key, which begins with U, is for the"
            " server",
        ) from None


def _behind(content: bytes, mark: bytes) -> bytes:
    lines = content.partition(mark)[2].split()
    return lines[0] if lines else b""


def _first_line(content: bytes) -> bytes:
    lines = (line.strip() for line in content.splitlines())
    return next((line for line in lines if line and not line.startswith(b"#")), b"")


def _secret(path: Path) -> bytes:
    """The content of a file that others may not read. Its group may: containers get secrets that way."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise AccessError(f"others on this machine may use {path}", hint=f"chmod 0600 {path}")
        return file.read(LONGEST_FILE_BYTES)

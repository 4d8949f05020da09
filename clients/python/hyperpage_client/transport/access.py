"""How one gets into a nats-server: where it is, by what one is known there, and whom one trusts to be it."""

import os
import re
import ssl
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypedDict
from urllib.parse import urlsplit

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
    """What one would get in with is no such thing, or would be seen by others; the hint says what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Files(TypedDict):
    """What a client takes by these names."""

    credentials: str | None
    ca: str | None
    certificate: str | None
    key: str | None


class Access(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one shows a nats-server, and whom one trusts, beside what stands in its address. Paths of files.

    `credentials` is the seed of an NKey, a creds file (JWT and seed), or a certificate with its key, in PEM.
    `certificate` and `key` are a certificate of one's own for mutual TLS, in PEM; `key` may stand in the same
    file. `ca` are the authorities that may vouch for the server, in PEM; without it, those of the system.
    With any of the last three, nothing is said that is not encrypted.

    The files are read for each connection, so that new ones are taken in with the next.
    """

    credentials: str | None = None
    certificate: str | None = None
    key: str | None = None
    ca: str | None = None

    @classmethod
    def of(cls, **files: Path | str | None) -> "Access":
        """With files however they are named; `~` is the home directory."""
        return cls(**{name: str(Path(file).expanduser()) for name, file in files.items() if file is not None})

    @property
    def files(self) -> Files:
        """Each by its name."""
        return Files(credentials=self.credentials, ca=self.ca, certificate=self.certificate, key=self.key)

    @property
    def asks_for_tls(self) -> bool:
        """Whether there is something that TLS alone has a use for."""
        return any((self.ca, self.certificate, self.key)) or self._is_certificate

    def require_sound(self, address: str) -> None:
        """Raises what is wrong with the files, before anybody is asked.

        Raises:
            AccessError: a file is not what it should be, or the address says, too, who one is.
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
        """What signs a challenge of the server's; `None` where something else says who one is.

        Raises:
            AccessError: the file is not one, or others may read it.
            OSError: it cannot be read.
        """
        if self.credentials is None:
            return None
        content = _secret(Path(self.credentials))
        if _CERTIFICATE in content:
            return None
        return _login(content, self.credentials)

    def tls(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, with a server whose certificate and name are checked.

        Raises:
            AccessError: a file is not what it should be, or others may read a key.
            OSError: one cannot be read.
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
    """Where a nats-server is, or several of one cluster, with commas between, and what one shows them.

    `url` may have users and passwords. After `ping_seconds` without a word, it is asked whether it is there;
    None: as seldom as nats-py does.
    """

    url: str
    access: Access = Access()
    ping_seconds: float | None = None

    @property
    def urls(self) -> list[str]:
        """The address of each, unchecked."""
        return addresses_in(self.url)

    @property
    def is_on_loopback(self) -> bool:
        """Whether all of them are on this machine."""
        return all(_is_on_loopback(url) for url in self.urls)

    @property
    def shown(self) -> str:
        """The address as it may be shown."""
        return without_credentials(self.url)


class Login(msgspec.Struct, frozen=True):
    """The key by which one is known, and what an account says of it, if that is needed."""

    key: "NKey"
    jwt: bytes | None


def addresses_in(url: str) -> list[str]:
    """The address of each nats-server in what stands for several of one cluster, unchecked.

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
        AccessError: one is none, or one asks for TLS and another does not. What is said of it repeats
            nothing of it: it may have a password.
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
        # Two users and one scheme: the first would be taken for a part of the second one's name.
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
    """Whether checked addresses say that nothing may be said in clear."""
    return url.startswith("tls://")


def has_credentials(url: str) -> bool:
    """Whether a user, a password or a token stands in an address, or in one of several."""
    return "@" in url


def user_in(url: str) -> dict[str, str]:
    """A user and a password, or a token, in a checked address, as nats-py takes them."""
    parts = urlsplit(url)
    if parts.username and parts.password is None:
        return {"token": parts.username}
    return {"user": parts.username, "password": parts.password or ""} if parts.username else {}


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
        # Without this, OpenSSL would ask for it at the terminal.
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
    # Loads a library that commands without keys need not wait for.
    from hyperpage_client.transport.nkeys import NKey, SeedError

    if _JWT in content:
        jwt, seed = _behind(content, _JWT), _behind(content, _SEED)
    else:
        jwt, seed = None, _first_line(content)
    try:
        # A creds file without the one is as bad as one without the other.
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
    """What is in a file that others may not read; a group may, as where a container is handed secrets."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise AccessError(f"others on this machine may use {path}", hint=f"chmod 0600 {path}")
        return file.read(LONGEST_FILE_BYTES)

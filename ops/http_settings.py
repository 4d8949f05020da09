"""The settings of the HTTP API."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ops.broker_settings import SettingsError
from ops.replication_settings import ReplicationSettings


class HttpSettings(ReplicationSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings up to those of the HTTP API."""

    http: str | None = None
    """Where the HTTP API listens, as HOST:PORT; port 0 is a free one. On an address beyond the loopback, it
    listens only once there is a token. Default: 127.0.0.1:8822 if that port is free, else a free one."""

    http_open: bool = False
    """Whether no token is needed, so that every caller of HTTP may do everything: other users of this
    machine, and the whole world through a proxy. On a loopback address only. Default false."""

    no_http: bool = False
    """Whether there is no HTTP API at all. Default false."""

    http_certificate: Path | None = None
    """The server's certificate for HTTPS, in PEM, followed by those of the intermediate authorities. This
    file and the next two are read again when they change. Default: none; plain HTTP."""

    http_key: Path | None = None
    """The key of that certificate, in PEM, without a password. Default: none."""

    http_client_ca: Path | None = None
    """The authority whose certificates clients may show over HTTPS, in PEM. The common name in a certificate
    is the name of a token, whose role the client gets. The authority's revocation list may follow in the
    file. Default: none."""

    http_hsts_seconds: Annotated[int, msgspec.Meta(ge=0)] = 31_536_000
    """For how many seconds browsers are told to use only HTTPS (HSTS), in answers over HTTPS; 0: they are not
    told. Default 31536000, a year."""

    http_hosts: tuple[str, ...] = ()
    """Host names under which the HTTP API is reached, beside those of the loopback; a request for another
    name is refused. In a variable, commas between them. Default: any name, where a token is needed."""

    http_origins: tuple[str, ...] = ()
    """Origins, as `https://app.example.org`, whose pages may use the HTTP API with a token. Default: none."""

    http_proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies whose word on the origin of a request is trusted. Default: none."""

    http_connections: Annotated[int, msgspec.Meta(ge=16)] = 4096
    """How many HTTP connections there may be at once; beyond that, an idle one is closed for a new one. Each
    takes a file descriptor; the service raises its own limit of these as far as it may. Default 4096."""

    http_connections_of_one_address: Annotated[int, msgspec.Meta(ge=1)] = 1536
    """How many of those connections one address may have, unless it is one of `http_proxies`. Default
    1536."""

    http_requests_per_second: Annotated[float, msgspec.Meta(ge=0)] = 500.0
    """How many requests per second one address may send in the long run, with bursts of twice as many; 0: any
    number. Default 500."""

    http_event_streams: Annotated[int, msgspec.Meta(ge=0)] = 128
    """How many readers may follow the events over HTTP at once. Default 128."""

    console_link: Literal["terminal", "always", "never"] = "terminal"
    """When a start prints a link on stderr that logs a browser in, once and within 10 minutes: if stderr is a
    `terminal`, `always` or `never`. Default `terminal`; `hyperpage console` prints a link at any time."""

    @property
    def http_tls(self) -> tuple[Path, Path, Path | None] | None:
        """The server's certificate, its key and the authority of clients; `None` for plain HTTP.

        Raises:
            SettingsError: the certificate or its key is not set, but another of the three is.
        """
        certificate, key, authority = self.http_certificate, self.http_key, self.http_client_ca
        if certificate is not None and key is not None:
            return certificate, key, authority
        if certificate is key is authority:
            return None
        raise SettingsError("http_certificate and http_key belong together; http_client_ca needs both")

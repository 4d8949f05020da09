"""The settings of the data directory and of the broker, and the broker's address for each role."""

from pathlib import Path
from typing import Annotated

import msgspec

from bus.broker.users import ADMIN, APP, RELAY, RESPONDER
from hyperpage_client.transport.access import Access, BrokerAddress, has_credentials, without_credentials

# The time between pings. A nats-server that has not answered two of them is given up when a third is due:
# within the time of a leader's lease.
PING_SECONDS = 1.0


class SettingsError(ValueError):
    """A setting has an invalid value; the message says which setting, and where it was set."""

    hint = (
        "nothing was done: each setting is an option, a variable HYPERPAGE_… or a line of hyperpage.toml;"
        " `hyperpage files hyperpage.toml` prints all of them"
    )


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of the data directory and of the broker."""

    data: Path = Path("data")
    """Where everything is kept: the store, the embedded broker's files, backups. Default `./data`."""

    nats: str | None = None
    """Address of a nats-server with JetStream, or of several of one cluster, with commas between them: the
    first one that is up is used. With `tls://`, nothing is sent unencrypted. The address may have a user and
    a password, and is handed to applications in `runtime.json`. Default: a nats-server of its own,
    embedded."""

    nats_relay: str | None = None
    """Address for the connection that manages streams and publishes events. Default: that of `nats`."""

    nats_responder: str | None = None
    """Address for the connection that takes commands and queries. If it is set, the broker must have the
    accounts that `hyperpage nats-config` writes, and tells the sender of each message. Default: that of
    `nats`."""

    nats_admin: str | None = None
    """Address that is handed to operators in `admin.json`. Default: that of `nats`."""

    nats_credentials: Path | None = None
    """File with the credentials for the connection of `nats`: the seed of an NKey, a creds file (JWT), or a
    certificate with its key in PEM. It is read again for each connection. Default: those in the address."""

    nats_relay_credentials: Path | None = None
    """The same for `nats_relay`. Default: that of `nats`."""

    nats_responder_credentials: Path | None = None
    """The same for `nats_responder`. Default: that of `nats`."""

    nats_admin_credentials: Path | None = None
    """The same for `nats_admin`. Default: that of `nats`."""

    nats_ca: Path | None = None
    """The certificate authorities, in PEM, one of which must vouch for that nats-server; with this setting,
    nothing is sent unencrypted. Default: those of the system."""

    nats_certificate: Path | None = None
    """Certificate in PEM that the service shows to that nats-server, in any role (mutual TLS). Default:
    none."""

    nats_key: Path | None = None
    """The key of that certificate, in PEM, without a password. Default: the one in the certificate's file."""

    nats_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    """Port of the embedded nats-server; 0: a free one. Default: 4222 if it is free, else a free one."""

    subjects_degraded_mib: Annotated[int, msgspec.Meta(ge=0)] = 512
    """The service is degraded if the nats-server needs more memory than this for the subjects of the messages
    in its streams, in MiB, by an estimate. Default 512, two million subjects."""

    @property
    def has_accounts(self) -> bool:
        """Whether the broker has an account for each user, and so tells the sender of each message."""
        return self.nats is None or self.nats_responder is not None

    @property
    def outside_nats(self) -> dict[str, BrokerAddress] | None:
        """The address for each role; `None` if the broker is the embedded one.

        Raises:
            SettingsError: another `nats_…` setting is given, but no address of a nats-server; or two roles
                that need accounts of their own share an address and credentials.
        """
        if self.nats is None:
            for name in self.__struct_fields__:
                if name.startswith("nats_") and name != "nats_port" and getattr(self, name) is not None:
                    raise SettingsError(f"{name} is for a nats-server that `nats` has the address of")
            return None
        own = {
            APP: (self.nats, self.nats_credentials),
            RELAY: (self.nats_relay, self.nats_relay_credentials),
            RESPONDER: (self.nats_responder, self.nats_responder_credentials),
            ADMIN: (self.nats_admin, self.nats_admin_credentials),
        }
        addresses = {role: self._address(self.nats, *said) for role, said in own.items()}
        known_as = {(one.url, one.access.credentials) for one in addresses.values()}
        if self.has_accounts and len(known_as) < len(addresses):
            raise SettingsError(
                "nats_responder is for a nats-server with accounts, where applications, operators, relay and"
                " responder are known by addresses or credentials of their own: nats, nats_admin, nats_relay"
                " and nats_responder, or each with _credentials"
            )
        return addresses

    @property
    def asks_often(self) -> bool:
        """Whether a hanging nats-server must be noticed soon: there is another one to connect to."""
        return "," in (self.nats or "")

    def _address(self, nats: str, url: str | None, credentials: Path | None) -> BrokerAddress:
        if url is None:
            # With a credentials file of its own, the role must not use the user in the address of `nats`.
            url = nats if credentials is None else without_credentials(nats)
        if credentials is None and not has_credentials(url):
            credentials = self.nats_credentials
        files = {"ca": self.nats_ca, "certificate": self.nats_certificate, "key": self.nats_key}
        absolute = {
            name: None if file is None else file.absolute()
            for name, file in {**files, "credentials": credentials}.items()
        }
        ping_seconds = PING_SECONDS if self.asks_often else None
        return BrokerAddress(url=url, access=Access.of(**absolute), ping_seconds=ping_seconds)

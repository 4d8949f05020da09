"""The settings of a service that is a member of a cluster, or a follower."""

import socket
from typing import Annotated, Literal

import msgspec

from ops.broker_settings import BrokerSettings, SettingsError

Replication = Literal["off", "async", "sync"]
# The roles of a service among those that share a log.
MembersRole = Literal["member", "follower"]


class ReplicationSettings(BrokerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings up to those of several machines with one log."""

    replication: Replication = "off"
    """Whether each group of commands is also stored in a log on the nats-servers: `sync`, before it is
    committed and answered, so that an answered command outlives the machine; `async`, some milliseconds after
    that, so that the last commands are lost with the machine; or `off`. Default `off`."""

    replication_replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    """On how many nats-servers of a cluster that log is kept; 1 on a single nats-server. Default 3."""

    role: MembersRole = "member"
    """The role of this service among several with the same log: a `member`, which may lead, or a `follower`,
    which only reads: it answers queries, and takes no commands. Default `member`."""

    follower_behind_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """A service that follows is degraded if it last had all of the log longer ago than this, in seconds.
    Default 10."""

    replication_lag_seconds: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """With `async`, the service is degraded if the oldest answered event that is not in that log yet has
    waited for longer than this, in seconds. Default 5."""

    replication_log_mib: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How much room that log may take on each nats-server, in MiB. Beyond that, commands are refused, or with
    `async` not stored in the log, until a backup is proven, after which older messages are deleted. Default
    0: the stream keeps the limit that it has; without one, there is room for everything."""

    replication_backup_mib: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How large the newest proven backup may be, in MiB, to be kept on the nats-servers, too, for members
    that reach no other backup; 0: none is kept there. Default: 1024 where backups are kept in the data
    directory and are not encrypted; otherwise 0."""

    member: str | None = None
    """The name of this service among those with the same log. Default: the machine's name."""

    @property
    def asks_often(self) -> bool:
        """Whether a hanging nats-server must be noticed soon: the leadership depends on it."""
        return self.is_replicated or super().asks_often

    @property
    def is_replicated(self) -> bool:
        """Whether several services share a log."""
        return self.replication != "off" or self.role == "follower"

    @property
    def log_trails(self) -> bool:
        """Whether commands are answered before they are in that log."""
        return self.replication == "async"

    @property
    def only_follows(self) -> bool:
        """Whether this service never leads.

        Raises:
            SettingsError: it has an embedded nats-server, which no leader writes a log to.
        """
        if self.role == "follower" and self.nats is None:
            raise SettingsError("a follower reads the log on the leader's nats-server: `nats` is its address")
        return self.role == "follower"

    @property
    def member_name(self) -> str:
        """The name of this service among those that share a log."""
        return self.member or socket.gethostname()

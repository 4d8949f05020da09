"""The settings of a service that is a member of a cluster, or a follower."""

import socket
from typing import Annotated, Literal

import msgspec

from ops.broker_settings import BrokerSettings, SettingsError

Replication = Literal["off", "async", "sync"]
# The roles of a service among those that share a log.
MembersRole = Literal["member", "follower"]


class ReplicationSettings(BrokerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How its log is kept on several machines."""

    replication: Replication = "off"
    """Whether each group of commands is stored in a log on the nats-servers, too: `sync`, before it is
    committed and answered, with which an answered command outlives the machine; `async`, some milliseconds
    after that, which are lost with the machine; or `off`. Default `off`."""

    replication_replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    """On how many nats-servers of a cluster that log is kept; 1 on a single one. Default 3."""

    role: MembersRole = "member"
    """What this service is where others have the same log: a `member`, which may lead, or a `follower`, which
    only reads: it answers queries, and takes no commands. Default `member`."""

    follower_behind_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """If one that follows is known to have had all of the log longer ago, in seconds, it is degraded.
    Default 10."""

    replication_lag_seconds: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """If the oldest event that is answered and not in that log yet has waited for longer with `async`, in
    seconds, it is degraded. Default 5."""

    replication_log_mib: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How much that log may take on each of them, in MiB; beyond that, commands are refused, or not sent to
    it with `async`, until a backup was proven, which lets what is older go. Default 0: as the stream is,
    which has room for everything."""

    replication_backup_mib: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """How large the newest proven backup may be, in MiB, to be kept on the nats-servers, too, where members
    find it that reach no other one. Default: 1024 where backups are kept in the data directory and are not
    encrypted; otherwise 0: it is not."""

    member: str | None = None
    """The name of this service among those that follow the same log. Default: the machine's name."""

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

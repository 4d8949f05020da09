"""The settings of a service that is one of several."""

import socket
from typing import Annotated, Literal

import msgspec

from ops.broker_settings import BrokerSettings

Replication = Literal["off", "sync"]


class ReplicationSettings(BrokerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How its log is kept on several machines."""

    replication: Replication = "off"
    """Whether each group of commands is stored in a log on the nats-servers, too, before it is committed and
    answered: `off`, or `sync`, with which an answered command outlives the machine. Default `off`."""

    replication_replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    """On how many nats-servers of a cluster that log is kept; 1 on a single one. Default 3."""

    member: str | None = None
    """The name of this service among those that follow the same log. Default: the machine's name."""

    @property
    def member_name(self) -> str:
        """The name of this service among others."""
        return self.member or socket.gethostname()

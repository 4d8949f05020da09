"""The users that a nats-server knows: two of the service's own, and those who use it."""

from typing import Any

import msgspec

from bus.contract.rights import EVERYTHING, Rights
from bus.contract.senders import ADMIN, APP, private_inbox

__all__ = ["ADMIN", "APP", "RELAY", "RESPONDER", "USERS", "WATCHER", "BrokerUser", "private_inbox"]

# Manages the streams, publishes events, mirrors, notices and dead letters, consumes durable commands, and has
# JetStream do what users ask of it.
RELAY = "relay"
# Serves commands, queries and administration; may publish to inboxes and results only.
RESPONDER = "responder"
# Hears who connects, and may do nothing else.
WATCHER = "watcher"
# Those whose passwords are made by themselves.
USERS = (RELAY, RESPONDER, WATCHER, APP, ADMIN)


class BrokerUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user with an account of its own. `credentials` are entries of nats-server's list of users."""

    name: str
    credentials: tuple[dict[str, Any], ...]
    rights: Rights = EVERYTHING

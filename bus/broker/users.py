"""The users of a nats-server: three of the service's own, and those of its clients."""

from typing import Any

import msgspec

from bus.contract.rights import EVERYTHING, Rights
from bus.contract.senders import ADMIN, APP, private_inbox

__all__ = ["ADMIN", "APP", "RELAY", "RESPONDER", "USERS", "WATCHER", "BrokerUser", "private_inbox"]

# Makes the streams, publishes events, mirrors, notices and dead letters, consumes durable commands, and
# passes users' requests on to JetStream.
RELAY = "relay"
# Serves commands, queries and administration; may publish to inboxes, to results and to the leader only.
RESPONDER = "responder"
# Is told of connections and refused logins, and may do nothing else.
WATCHER = "watcher"
# The users whose passwords the service makes itself.
USERS = (RELAY, RESPONDER, WATCHER, APP, ADMIN)


class BrokerUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user with an account of its own. `credentials` are entries of nats-server's list of users."""

    name: str
    credentials: tuple[dict[str, Any], ...]
    rights: Rights = EVERYTHING

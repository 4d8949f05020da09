"""Services with one log, on a nats-server that all of them use."""

from pathlib import Path
from typing import Any

from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER
from ops.service.composition import Service
from ops.settings import Settings
from tests.support.patience import until


def addresses(server: NatsServer) -> dict[str, str]:
    """The settings by which a service finds a nats-server."""
    return {
        "nats": server.url_for(APP),
        "nats_relay": server.url_for(RELAY),
        "nats_responder": server.url_for(RESPONDER),
        "nats_admin": server.url_for(ADMIN),
    }


def member_on(folder: Path, server: NatsServer | str, **settings: Any) -> Service:
    """A service that has not been started, with the log on one nats-server, or at the address of one."""
    at = {"nats": server} if isinstance(server, str) else addresses(server)
    defaults: dict[str, Any] = {
        "no_http": True,
        "replication": "sync",
        "replication_replicas": 1,
        "member": folder.name,
    }
    return Service(Settings(data=folder, **{**at, **defaults, **settings}))


async def has_followed(follower: Service, leader: Service) -> None:
    """Returns when a follower has all that the leader has, and knows it."""
    head = leader.role.head

    def has_all() -> bool:
        following = follower.role.follower
        return following is not None and following.state.healthy and follower.role.head == head

    await until(has_all)

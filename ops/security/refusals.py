"""Records log-ins that the broker refused in the audit log: `RefusedLogins`."""

import time
from collections.abc import Callable

import msgspec
from nats.aio.msg import Msg

from bus.serving.audit import Act, Actor, summary
from hyperpage_client.transport.connection import LeanClient


class _Client(msgspec.Struct, frozen=True):
    """The part that we read of https://docs.nats.io/running-a-nats-service/configuration/sys_accounts."""

    host: str = ""
    user: str = ""
    name: str = ""


class _Refused(msgspec.Struct, frozen=True):
    client: _Client = _Client()
    reason: str = ""


_decode = msgspec.json.Decoder(_Refused).decode


class RefusedLogins:
    """Passes each log-in that the broker refused to `note`, without the credentials shown."""

    def __init__(self, note: Callable[[Act], None]) -> None:
        self._note = note

    async def watch(self, connection: LeanClient, subject: str) -> None:
        """Notes refused log-ins from now on; `connection` is one of the broker's system account."""
        await connection.subscribe(subject, cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        try:
            refused = _decode(message.data)
        except msgspec.MsgspecError:
            return
        client = refused.client
        self._note(
            Act(
                at=time.time_ns() // 1_000_000,
                # The name that the client claims: nothing vouches for it.
                actor=Actor(name=client.user or "unknown", via="nats", address=client.host or None),
                action="broker.connect",
                request=summary({"client": client.name, "reason": refused.reason}),
                outcome="refused",
                code="not_let_in",
            )
        )

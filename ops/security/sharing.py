"""Who shares the application's user: `SharedUse` hears of each connection, and says when they are several."""

import logging

import msgspec
from nats.aio.msg import Msg

from bus.broker.users import APP
from hyperpage_client.transport.connection import LeanClient

# Names that are kept; more of them would say nothing more.
MAXIMUM_NAMES = 100
MAXIMUM_NAME_CHARACTERS = 100

logger = logging.getLogger(__name__)


class _Client(msgspec.Struct, frozen=True):
    name: str = ""


class _Connected(msgspec.Struct, frozen=True):
    """https://docs.nats.io/running-a-nats-service/configuration/sys_accounts: the part that we read."""

    client: _Client = _Client()


_decode = msgspec.json.Decoder(_Connected).decode


class SharedUse:
    """The names under which programs have connected as the application's user since the start."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @property
    def is_shared(self) -> bool:
        return len(self.names) > 1

    async def watch(self, connection: LeanClient, subject: str) -> None:
        """Hears of connections from now on; `connection` is one of the broker's system account."""
        await connection.subscribe(subject, cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        try:
            name = _decode(message.data).client.name[:MAXIMUM_NAME_CHARACTERS] or "a client without a name"
        except msgspec.MsgspecError:
            return
        if name in self.names or len(self.names) >= MAXIMUM_NAMES:
            return
        self.names.append(name)
        if self.is_shared:
            logger.warning(
                "%r connected as the user %s, as %r has: they can read and do all that the other can;"
                " `hyperpage user create` makes each a user of its own",
                name,
                APP,
                self.names[0],
            )

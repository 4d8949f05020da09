"""Notes the programs that connect as the application's user, and warns if they are several: `SharedUse`."""

import logging

import msgspec
from nats.aio.msg import Msg

from bus.broker.users import APP
from hyperpage_client.transport.connection import LeanClient

# How many names are kept; more would tell nothing new.
MAXIMUM_NAMES = 100
MAXIMUM_NAME_CHARACTERS = 100

logger = logging.getLogger(__name__)


class _Client(msgspec.Struct, frozen=True):
    name: str = ""


class _Connected(msgspec.Struct, frozen=True):
    """The part that we read of https://docs.nats.io/running-a-nats-service/configuration/sys_accounts."""

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
        """Notes connections from now on; `connection` is one of the broker's system account."""
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

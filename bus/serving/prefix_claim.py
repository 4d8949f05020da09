"""The claim of a service to its prefix. Each service asks before it serves, and the others answer.

    one that starts   ── services.starting ──▶   all
                      ◀── services.present ────  the others

The messages are notices on the relay's connection: the broker user that answers clients has no rights to ask
or to receive these answers. The relay also refuses a stream of another store (`bus.publishing.relay`), but
that does not help against a copy of the same store.
"""

import asyncio
import logging

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus.contract import codec
from hyperpage_client.contract.subjects import BusNames

# How long the other services have to answer.
ANSWERS_SECONDS = 0.5

logger = logging.getLogger(__name__)


class _Service(msgspec.Struct, frozen=True, kw_only=True):
    """The notice that a service sends about itself."""

    instance: str
    store_id: str
    has_prefix: bool
    is_member: bool = False


_decode_service = msgspec.json.Decoder(_Service).decode


class PrefixClaim:
    """One service's claim to the prefix of `names`. `instance` is its id; later services have greater ids.

    Members of one store that follow the same log share the prefix.
    """

    def __init__(
        self, relay: Client, names: BusNames, *, instance: str, store_id: str, is_member: bool = False
    ) -> None:
        self._relay = relay
        self._subject = names.notice("services")
        self._prefix = names.prefix
        self._instance = instance
        self._store_id = store_id
        self._is_member = is_member
        self._has_prefix = False
        self._is_heard = False
        self._rival: _Service | None = None

    async def rival(self) -> str | None:
        """The service that has the prefix already; `None` if the prefix is this service's from now on.

        If two services start at the same moment, each hears of the other, and the one with the greater id
        gives way. If the broker does not let the relay's user receive notices, no service is found, and that
        is logged.
        """
        subscription = await self._relay.subscribe(f"{self._subject}.*", cb=self._hear)
        await self._say("starting")
        await self._relay.flush()
        await asyncio.sleep(ANSWERS_SECONDS)
        if self._rival is not None:
            await subscription.unsubscribe()
            return f"{self._rival.instance} (store {self._rival.store_id})"
        if not self._is_heard:
            logger.warning(
                "whether another service has the prefix %s is not known: the relay's user needs the right to "
                "publish and subscribe to %s.>",
                self._prefix,
                self._subject,
            )
        self._has_prefix = True
        return None

    async def _hear(self, message: Msg) -> None:
        try:
            other = _decode_service(message.data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            # No service of ours sends such a notice.
            return
        if other.instance == self._instance:
            self._is_heard = True
            return
        shares = self._is_member and other.is_member and other.store_id == self._store_id
        if not shares and (other.has_prefix or other.instance < self._instance):
            self._rival = other
        if message.subject.endswith(".starting"):
            await self._say("present")

    async def _say(self, what: str) -> None:
        said = _Service(
            instance=self._instance,
            store_id=self._store_id,
            has_prefix=self._has_prefix,
            is_member=self._is_member,
        )
        await self._relay.publish(f"{self._subject}.{what}", codec.encode(said))

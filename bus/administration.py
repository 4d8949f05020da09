"""Requests of the operator: few, rare, and answered one by one."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from bus import codec
from bus.discovery import QUEUE_GROUP
from bus.incident import internal
from bus.subjects import BusNames
from bus.tasks import Tasks
from domain.errors import NotFound, Refusal

logger = logging.getLogger(__name__)


class AdministrationVerb(msgspec.Struct, frozen=True, kw_only=True):
    """One thing an operator can ask for. `carry_out` answers with what is encoded as JSON."""

    name: str
    shape: type[Any]
    carry_out: Callable[[Any], Awaitable[Any]]


class Administration:
    """The administrative subjects of a service."""

    def __init__(self, connection: Client, names: BusNames, verbs: Mapping[str, AdministrationVerb]) -> None:
        self._connection = connection
        self._names = names
        self._verbs = verbs
        self._under_way = Tasks()
        self.dropped = 0

    async def start(self) -> None:
        """Serves from now on."""
        await self._connection.subscribe(self._names.administration(">"), queue=QUEUE_GROUP, cb=self._receive)

    async def stop(self) -> None:
        """Gives up what is under way."""
        await self._under_way.cancel()

    async def carry_out(self, name: str, body: bytes) -> Any:
        """What an operator asked for; what comes back is encoded as JSON.

        Raises:
            Refusal: it was not carried out.
        """
        verb = self._verbs.get(name)
        if verb is None:
            raise NotFound(f"there is no {name[:100]}")
        request = codec.decode(verb.shape, body)
        try:
            return await verb.carry_out(request)
        except Refusal:
            raise
        except Exception as error:
            raise internal(logger, f"{name} failed", error) from None

    async def _receive(self, message: Msg) -> None:
        # An answer that a client had JetStream send here comes without an inbox to answer to.
        if not self._names.is_operators_inbox(message.reply):
            self.dropped += 1
            return
        self._under_way.start(self._serve(message))

    async def _serve(self, message: Msg) -> None:
        headers: dict[str, str] | None = None
        try:
            body = codec.encode(await self.carry_out(self._names.name_in(message.subject), message.data))
        except Refusal as refusal:
            body, headers = codec.error_body(refusal), codec.error_headers(refusal)
        try:
            await self._connection.publish(message.reply, body, headers=headers)
        except NatsError as error:
            logger.warning("an answer could not be sent: %s", error)

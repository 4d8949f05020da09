"""Requests of the operator: few, rare, and answered one by one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from bus import codec
from bus.discovery import QUEUE_GROUP
from bus.identifiers import new_id
from bus.subjects import BusNames
from domain.errors import Internal, NotFound, Refusal

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
        self._under_way: set[asyncio.Task[None]] = set()
        self.dropped = 0

    async def start(self) -> None:
        """Serves from now on."""
        await self._connection.subscribe(self._names.administration(">"), queue=QUEUE_GROUP, cb=self._receive)

    async def stop(self) -> None:
        """Gives up what is under way."""
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _receive(self, message: Msg) -> None:
        # An answer that a client had JetStream send here comes without an inbox to answer to.
        if not self._names.is_inbox(message.reply):
            self.dropped += 1
            return
        task = asyncio.get_running_loop().create_task(self._serve(message))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _serve(self, message: Msg) -> None:
        headers: dict[str, str] | None = None
        try:
            body = await self._carry_out(self._names.name_in(message.subject), message.data)
        except Refusal as refusal:
            body, headers = codec.error_body(refusal), codec.error_headers(refusal)
        try:
            await self._connection.publish(message.reply, body, headers=headers)
        except NatsError as error:
            logger.warning("an answer could not be sent: %s", error)

    async def _carry_out(self, name: str, body: bytes) -> bytes:
        verb = self._verbs.get(name)
        if verb is None:
            raise NotFound(f"there is no {name}")
        request = codec.decode(verb.shape, body)
        try:
            return codec.encode(await verb.carry_out(request))
        except Refusal:
            raise
        except Exception:
            incident = new_id()
            logger.exception("incident %s: %s failed", incident, name)
            raise Internal(f"internal error; incident {incident}", incident=incident) from None

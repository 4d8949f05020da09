"""One prefix and one store, one service: what a start on a shared nats-server does about others."""

from contextlib import AsyncExitStack

from bus.contract.subjects import BusNames
from bus.publishing.incarnation import Incarnation
from bus.serving.prefix_claim import PrefixClaim
from bus.transport.connection import LeanClient
from ops.service.background import Background
from ops.service.errors import ServiceError


async def require_prefix(relay: LeanClient, names: BusNames, *, instance: str, store_id: str) -> None:
    """Returns when this service, and no other, has the prefix.

    Raises:
        ServiceError: another one has it.
    """
    claim = PrefixClaim(relay, names, instance=instance, store_id=store_id)
    if (rival := await claim.rival()) is not None:
        raise ServiceError(f"another service serves the prefix {names.prefix}: {rival}")


async def take_store(incarnation: Incarnation, stack: AsyncExitStack, background: Background) -> None:
    """Returns when no service with a copy of the store answers any more; it is noticed if one comes.

    Raises:
        SupersededError: another one came at the same time.
        JetStreamError: JetStream refuses, or does not answer.
    """
    await incarnation.take()
    stack.push_async_callback(incarnation.end)
    background.start(incarnation.run(), "the look for another service")

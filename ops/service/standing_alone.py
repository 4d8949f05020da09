"""One prefix and one store, one service: what is known of others, and what follows from it."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from bus.publishing.incarnation import Incarnation
from bus.publishing.relay import Relay
from bus.serving.prefix_claim import PrefixClaim
from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from ops.service.background import Background
from ops.service.errors import ServiceError
from ops.service.steady_clock import ticks_ms


class StandingAlone:
    """Whether a service may answer commands: no other one does, and what was published is its own log."""

    def __init__(self) -> None:
        self._incarnation: Incarnation | None = None
        self._shares_broker = self._is_member = False
        # What a member leads by.
        self.holds: Callable[[], bool] = lambda: True
        self._relay: Relay | None = None

    def is_so(self) -> bool:
        """Whether it may, for all that is known. Any thread may ask."""
        return (
            (self._incarnation is None or self._incarnation.is_valid)
            and self.holds()
            and (self._relay is None or self._relay.is_of_this_log)
        )

    def rests_on(self, holds: Callable[[], bool]) -> None:
        """Has it be so only while that holds, too, which any thread may ask."""
        self.holds = holds

    async def take_prefix(
        self, relay: LeanClient, names: BusNames, *, instance: str, store_id: str, is_member: bool = False
    ) -> None:
        """Returns when this service, and no other, has the prefix on a nats-server that others use, too.

        A member of several that follow one log shares it with them: of those, the log says who leads.

        Raises:
            ServiceError: another one has it.
        """
        claim = PrefixClaim(relay, names, instance=instance, store_id=store_id, is_member=is_member)
        if (rival := await claim.rival()) is not None:
            raise ServiceError(
                f"another service serves the prefix {names.prefix}: {rival}",
                hint="nothing was changed: stop that one first, or choose another prefix for this one"
                " (HYPERPAGE_PREFIX)",
            )
        self._shares_broker, self._is_member = True, is_member
        if is_member:
            return
        api = JetStreamApi(relay)
        self._incarnation = Incarnation(api, names.events, instance, lambda: ticks_ms() / 1_000)

    async def take_store(self, relay: Relay, stack: AsyncExitStack, background: Background) -> None:
        """Returns when no service with a copy of the store answers any more; it is noticed if one comes.

        Among several that follow one log, whoever was frozen finds that another one has published meanwhile:
        that ends its turn at leading (`ops.service.roles.turns`), and not the service.

        Raises:
            AnotherStoreError: the stream of events is another store's.
            OtherHistoryError: what was published is not this log.
            SupersededError: another one came at the same time.
            ServiceError: the stream cannot be marked as this service's.
            JetStreamError: JetStream refuses, or does not answer.
        """
        self._relay = relay
        # The embedded nats-server is ours alone, and so is what it has.
        has_events = await relay.prepare(may_delete=not self._shares_broker)
        if self._incarnation is not None:
            try:
                await self._incarnation.take(has_events=has_events)
            except JetStreamError as error:
                if not error.code:
                    raise
                hint = "if it is sealed, or another's, `hyperpage stream refill --yes` deletes it"
                raise ServiceError(error.problem, hint=hint) from error
            # Who served before may have gone on until now, and this store be a copy from before that.
            await relay.prepare()
            stack.push_async_callback(self._incarnation.end)
            background.start(self._incarnation.run(), "the look for another service")
        if not self._is_member:
            background.start(relay.parted(), "the comparison with what was published")

"""Makes sure that one service alone has a prefix and a store: `StandingAlone`."""

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
    """Whether a service may answer commands: no other one does, and the published events are of its log."""

    def __init__(self) -> None:
        self._incarnation: Incarnation | None = None
        self._shares_broker = self._is_member = False
        # Whether a member may lead still, by its lease.
        self.holds: Callable[[], bool] = lambda: True
        self._relay: Relay | None = None

    def is_so(self) -> bool:
        """Whether the service may answer commands, as far as it knows. Any thread may call it."""
        return (
            (self._incarnation is None or self._incarnation.is_valid)
            and self.holds()
            and (self._relay is None or self._relay.is_of_this_log)
        )

    def rests_on(self, holds: Callable[[], bool]) -> None:
        """Sets a further condition of `is_so`; any thread may call `holds`."""
        self.holds = holds

    async def take_prefix(
        self, relay: LeanClient, names: BusNames, *, instance: str, store_id: str, is_member: bool = False
    ) -> None:
        """Takes the prefix on a nats-server that others use, too; returns when no other service has it.

        Members of a cluster share a prefix: the log says which of them leads.

        Raises:
            ServiceError: another service has the prefix.
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
        """Returns when no service with a copy of the store answers any more; a later one is noticed.

        A member of a cluster that was frozen finds that another one has published meanwhile: that ends its
        turn at leading (`ops.service.roles.turns`), and not the service.

        Raises:
            AnotherStoreError: the stream of events is another store's.
            OtherHistoryError: the published events are not this log's.
            SupersededError: another service started at the same time.
            ServiceError: the stream cannot be marked as this service's.
            JetStreamError: JetStream refuses, or does not answer.
        """
        self._relay = relay
        # The embedded nats-server and its streams belong to this service alone, so the stream may be deleted.
        has_events = await relay.prepare(may_delete=not self._shares_broker)
        if self._incarnation is not None:
            try:
                await self._incarnation.take(has_events=has_events)
            except JetStreamError as error:
                if not error.code:
                    raise
                hint = "if it is sealed, or another's, `hyperpage stream refill --yes` deletes it"
                raise ServiceError(error.problem, hint=hint) from error
            # The service before may have published until now, and this store may be a copy from before that.
            await relay.prepare()
            stack.push_async_callback(self._incarnation.end)
            background.start(self._incarnation.run(), "the look for another service")
        if not self._is_member:
            background.start(relay.parted(), "the comparison with what was published")

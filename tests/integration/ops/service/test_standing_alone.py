"""A service on a copy of a store, while the original store's service goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bus.publishing.incarnation import Incarnation
from bus.publishing.relay import Relay
from bus.publishing.stream_state import OtherHistoryError
from ops.service.background import Background
from ops.service.standing_alone import StandingAlone
from tests.support.stores.relaying import NAMES, bus_in, relay_of, through


class LateTaking(Incarnation):
    """Takes the store only after the service that has it has done something more."""

    meanwhile: Callable[[], Awaitable[None]]

    async def take(self, *, has_events: bool = False) -> None:
        await self.meanwhile()
        await super().take(has_events=has_events)


def test_a_copy_that_lacks_what_was_done_until_its_service_took_the_store_is_not_served(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with bus_in(tmp_path) as (broker, store), AsyncExitStack() as stack:
            store.append(2)
            async with relay_of(broker, store) as relay:
                await through(relay, store)

            async def one_more() -> None:
                store.append(1)
                async with relay_of(broker, store) as relay:
                    await through(relay, store)
                store.set_back(2)

            standing = StandingAlone()
            standing._incarnation = incarnation = LateTaking(broker.api, NAMES.events, "copy")
            incarnation.meanwhile = one_more
            own = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
            with pytest.raises(OtherHistoryError, match="ahead of the log"):
                await standing.take_store(own, stack, Background(stack))

    asyncio.run(scenario())


class ToldTaking(Incarnation):
    """Notes what it was told about the log."""

    told: bool

    async def take(self, *, has_events: bool = False) -> None:
        self.told = has_events


@pytest.mark.parametrize("events", [0, 1])
def test_where_the_stream_has_no_number_only_an_empty_store_is_taken_at_once(
    tmp_path: Path, events: int
) -> None:
    async def scenario() -> None:
        async with bus_in(tmp_path) as (broker, store), AsyncExitStack() as stack:
            store.append(events)
            standing = StandingAlone()
            standing._incarnation = incarnation = ToldTaking(broker.api, NAMES.events, "one")
            own = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
            await standing.take_store(own, stack, Background(stack))
            assert incarnation.told == (events > 0)

    asyncio.run(scenario())

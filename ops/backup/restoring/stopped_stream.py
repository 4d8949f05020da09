"""The stream of events of a stopped service: its highest timeline is read, or it is deleted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from bus.broker.server import NatsServer
from bus.broker.users import RELAY, private_inbox
from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.contract.stream_metadata import highest_timeline
from hyperpage_client.transport.access import BrokerAddress
from hyperpage_client.transport.connecting import NotConnectedError, connect
from ops.settings import Settings

CONNECT_SECONDS = 5.0


def highest_timeline_in_stream(settings: Settings) -> int:
    """The highest timeline that the stream knows; 0 if there is no stream, or an external broker is away.

    Raises:
        NatsServerError: the embedded nats-server does not start.
    """
    return asyncio.run(_highest_timeline(settings))


def delete_stream(settings: Settings) -> None:
    """Deletes the stream, if there is one; the next start makes and fills it.

    Raises:
        NatsServerError: the embedded nats-server does not start.
        NotConnectedError: an external broker does not answer.
        JetStreamError: the broker refuses.
    """
    asyncio.run(_delete(settings))


async def _highest_timeline(settings: Settings) -> int:
    try:
        async with _broker(settings) as api:
            report = None if api is None else await api.report(settings.names.events)
    except (NotConnectedError, JetStreamError):
        return 0
    return 0 if report is None else highest_timeline(report.metadata)


async def _delete(settings: Settings) -> None:
    async with _broker(settings) as api:
        if api is not None:
            await api.delete(settings.names.events)


@asynccontextmanager
async def _broker(settings: Settings) -> AsyncIterator[JetStreamApi | None]:
    """JetStream with the relay's rights; `None` if the embedded nats-server has never run."""
    async with AsyncExitStack() as stack:
        addresses = settings.outside_nats
        if addresses is None:
            if not (settings.data / "nats").exists():
                yield None
                return
            server = NatsServer(data=settings.data, names=settings.names, port=0)
            await stack.enter_async_context(server)
            at = BrokerAddress(url=server.url_for(RELAY))
        else:
            at = addresses[RELAY]
        client = await connect(
            at.url, access=at.access, inbox_prefix=private_inbox(RELAY), within_seconds=CONNECT_SECONDS
        )
        stack.push_async_callback(client.close)
        yield JetStreamApi(client)

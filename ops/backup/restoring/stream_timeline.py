"""The highest timeline that the stream of events knows, asked while the service is stopped."""

import asyncio
from contextlib import AsyncExitStack

from bus.broker.server import NatsServer
from bus.broker.users import RELAY, private_inbox
from bus.contract.stream_metadata import highest_timeline
from bus.transport.access import BrokerAddress
from bus.transport.connecting import NotConnectedError, connect
from bus.transport.jetstream import JetStreamApi, JetStreamError
from ops.settings import Settings

CONNECT_SECONDS = 5.0


def highest_timeline_in_stream(settings: Settings) -> int:
    """0 where there is no stream, or where an external broker does not answer: then nothing follows it.

    Raises:
        NatsServerError: the embedded nats-server does not start.
    """
    return asyncio.run(_ask(settings))


async def _ask(settings: Settings) -> int:
    async with AsyncExitStack() as stack:
        addresses = settings.outside_nats
        if addresses is None:
            if not (settings.data / "nats").exists():
                return 0
            server = NatsServer(data=settings.data, names=settings.names, port=0)
            await stack.enter_async_context(server)
            at = BrokerAddress(url=server.url_for(RELAY))
        else:
            at = addresses[RELAY]
        try:
            client = await connect(
                at.url,
                access=at.access,
                inbox_prefix=private_inbox(RELAY),
                within_seconds=CONNECT_SECONDS,
            )
        except NotConnectedError:
            return 0
        stack.push_async_callback(client.close)
        try:
            report = await JetStreamApi(client).report(settings.names.events)
        except JetStreamError:
            return 0
        return 0 if report is None else highest_timeline(report.metadata)

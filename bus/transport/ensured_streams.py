"""Makes sure that a stream is there, as it should be."""

import asyncio

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamInfo
from nats.js.errors import NotFoundError

_TRIES = 20
_PAUSE_SECONDS = 0.25


async def ensure_stream(jetstream: JetStreamContext, config: StreamConfig) -> StreamInfo:
    """The stream of that name; it is made as `config` says if there is none.

    One that is there stays as it is: an operator may have given it limits. A broker that is still getting
    ready is asked again for some seconds.

    Raises:
        NatsError: the broker refuses, or does not answer.
    """
    assert config.name is not None
    for remaining in range(_TRIES, 0, -1):
        try:
            try:
                return await jetstream.stream_info(config.name)
            except NotFoundError:
                return await jetstream.add_stream(config)
        except (NatsError, TimeoutError):
            if remaining == 1:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable")

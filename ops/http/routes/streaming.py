"""Streams of server-sent events, whatever they tell: how many followers there may be, and for how long."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from domain.errors import Busy
from ops.http.following.event_feed import Source
from ops.http.routing import access_of

MEDIA_TYPE = "text/event-stream"
# How often something is sent at least: proxies end connections on which nothing happens.
QUIET_SECONDS = 15.0
NOTHING_NEW = b": nothing new\n\n"
# How long a browser waits before it connects again.
RETRY_MS = 2_000
# How often a follower's right to follow is checked again.
LOOK_AGAIN_SECONDS = 5.0


class EventStream(StreamingResponse):
    """A response of server-sent events; it takes one of the slots until the reader leaves."""

    def __init__(self, events: AsyncIterator[bytes], slots: "Slots") -> None:
        super().__init__(events, headers={"X-Accel-Buffering": "no"}, media_type=MEDIA_TYPE)
        self._slots = slots
        self._slots.take()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends them."""
        # From here on it counts as a stream, and no longer as a request that is answered in a moment.
        scope["hyperpage.leave"]()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slots.give_back()


class Slots:
    """The number of streams that may be open at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    def take(self) -> None:
        """Counts one more stream.

        Raises:
            Busy: there are too many.
        """
        if self.taken >= self._most:
            raise Busy("too many follow the events already", hint="try again later", retry_after_ms=5_000)
        self.taken += 1

    def give_back(self) -> None:
        """Counts one stream less."""
        self.taken -= 1


class Follower:
    """The reader of a stream, for as long as it may follow."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._clock = asyncio.get_running_loop().time
        self._looked_at = self._clock()

    async def wait(self, source: Source, reached: int) -> bool | None:
        """True once there is more than that, false if it was quiet for long, `None` if it is over."""
        if self._clock() - self._looked_at > LOOK_AGAIN_SECONDS:
            self._looked_at = self._clock()
            if not access_of(self._request).may_still(self._request):
                return None
        has_more = await source.beyond(reached, QUIET_SECONDS)
        return None if source.is_closed else has_more

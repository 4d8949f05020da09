"""Server-sent events, whatever they tell: how many may follow them, and for how long."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from domain.errors import Busy
from ops.http.following.source import Source
from ops.http.routing import access_of

MEDIA_TYPE = "text/event-stream"
# Something is sent at least so often: proxies end connections on which nothing happens.
QUIET_SECONDS = 15.0
NOTHING_NEW = b": nothing new\n\n"
# Who asks for more than there is is told so often; a browser waits as long before it comes back.
RETRY_MS = 2_000
# How often it is looked whether who follows still may.
LOOK_AGAIN_SECONDS = 5.0


class EventStream(StreamingResponse):
    """Server-sent events, as long as the reader stays; it holds one of the slots."""

    def __init__(self, events: AsyncIterator[bytes], slots: "Slots") -> None:
        super().__init__(events, headers={"X-Accel-Buffering": "no"}, media_type=MEDIA_TYPE)
        self._slots = slots
        self._slots.take()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends them."""
        # It counts here, and not among the requests that are answered in a moment.
        scope["hyperpage.leave"]()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slots.give_back()


class Slots:
    """How many may follow at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken = 0

    def take(self) -> None:
        """Counts one more.

        Raises:
            Busy: there are too many.
        """
        if self.taken >= self._most:
            raise Busy("too many follow the events already", hint="try again later", retry_after_ms=5_000)
        self.taken += 1

    def give_back(self) -> None:
        """Counts one less."""
        self.taken -= 1


class Follower:
    """One who follows, for as long as they may."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._clock = asyncio.get_running_loop().time
        self._looked_at = self._clock()

    async def wait(self, source: Source, reached: int) -> bool | None:
        """True once there is more than that, false if it was quiet for long; None: it is over."""
        if self._clock() - self._looked_at > LOOK_AGAIN_SECONDS:
            self._looked_at = self._clock()
            if not access_of(self._request).may_still(self._request):
                return None
        has_more = await source.beyond(reached, QUIET_SECONDS)
        return None if source.is_closed else has_more

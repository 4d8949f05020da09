"""Streams of server-sent events of any kind: how many may be open, and how long a follower may read."""

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from domain.errors import Busy
from ops.http.access.attempts import address_of
from ops.http.following.event_feed import Source
from ops.http.layers.addresses import network_of
from ops.http.routing import access_of, principal_of

MEDIA_TYPE = "text/event-stream"
# The longest time without a message: proxies end connections on which nothing happens.
QUIET_SECONDS = 15.0
NOTHING_NEW = b": nothing new\n\n"
# How long a browser waits before it connects again.
RETRY_MS = 2_000
# How often a follower's access is checked again.
LOOK_AGAIN_SECONDS = 5.0


class EventStream(StreamingResponse):
    """A response of server-sent events; it holds one of the slots until the reader leaves."""

    def __init__(self, request: Request, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, headers={"X-Accel-Buffering": "no"}, media_type=MEDIA_TYPE)
        slots: Slots = request.app.state.event_streams
        principal = principal_of(request)
        if principal.kind == "anybody":
            self._slot = slots.take(network_of(address_of(request)), request.scope["hyperpage.abort"])
        else:
            most = max(1, slots.most // 2)
            self._slot = slots.take(
                f"{principal.kind} {principal.name}", request.scope["hyperpage.abort"], most=most
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events."""
        # From here on the response counts as a stream, and no longer as a request under way.
        scope["hyperpage.stay"].leave()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._slot.give_back()


class Slots:
    """The slots for streams. If all are taken, the holder with most may lose its oldest one to another."""

    def __init__(self, most: int) -> None:
        self.most = most
        # By holder: its streams in the order in which they began.
        self._open: dict[str, dict[Slot, None]] = {}

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return sum(map(len, self._open.values()))

    def take(self, holder: str, abort: Callable[[], None], *, most: int | None = None) -> "Slot":
        """A slot for one more stream of a holder, which may have `most`; `abort` ends the stream at once.

        Raises:
            Busy: there are too many streams, in all or of this holder.
        """
        its_own = self._open.get(holder, {})
        if most is not None and len(its_own) >= most:
            raise _too_many("this token follows the events too often already")
        if self.taken >= self.most:
            fullest = max(self._open.values(), key=len, default={})
            # This holder gets one more and the other one less: only if that makes them more equal, and does
            # not just swap their numbers.
            if len(fullest) <= len(its_own) + 1:
                raise _too_many("too many follow the events already")
            next(iter(fullest)).end()
        slot = Slot(self._open, holder, abort)
        self._open.setdefault(holder, {})[slot] = None
        return slot


class Slot:
    """The slot of one stream."""

    def __init__(
        self, streams: "dict[str, dict[Slot, None]]", holder: str, abort: Callable[[], None]
    ) -> None:
        self._open = streams
        self._holder = holder
        self._abort = abort

    def give_back(self) -> None:
        """Gives the slot back; further calls do nothing."""
        its_own = self._open.get(self._holder, {})
        its_own.pop(self, None)
        if not its_own:
            self._open.pop(self._holder, None)

    def end(self) -> None:
        """Ends the stream in favour of another one; its reader can reconnect and go on where it was."""
        self.give_back()
        self._abort()


def _too_many(message: str) -> Busy:
    return Busy(message, hint="try again later", retry_after_ms=5_000)


class Follower:
    """The reader of a stream, whose access is checked again from time to time."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._clock = asyncio.get_running_loop().time
        self._looked_at = self._clock()

    async def wait(self, source: Source, reached: int) -> bool | None:
        """True once the source is beyond `reached`, false after a quiet time, `None` at the stream's end."""
        if self._clock() - self._looked_at > LOOK_AGAIN_SECONDS:
            self._looked_at = self._clock()
            if not access_of(self._request).may_still(self._request):
                return None
        has_more = await source.beyond(reached, QUIET_SECONDS)
        return None if source.is_closed else has_more

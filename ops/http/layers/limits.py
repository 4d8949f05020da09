"""The bounds of a request: bytes, time, and its share of the service. `LimitsMiddleware`."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import Busy
from ops.http.layers.throttle import Throttle
from ops.http.problem import problem
from ops.http.refusals import (
    BodyTooLarge,
    HeadTooLarge,
    HttpRefusal,
    ReaderTooSlowError,
    RequestTimeout,
    TooManyRequests,
)

# A batch of 960 KiB with room to spare.
MAXIMUM_BODY_BYTES = 1024 * 1024
# Line and headers together.
MAXIMUM_HEAD_BYTES = 32 * 1024
# A body that has not arrived whole in this time is refused.
BODY_SECONDS = 20.0
# How long a piece of an answer may wait for its reader, who is then cut off.
SEND_SECONDS = 20.0
# How many requests are answered at once. Event streams have a limit of their own and do not count.
MAXIMUM_UNDER_WAY = 256
RETRY_AFTER_MS = 1_000


class LimitsMiddleware:
    """Refuses requests that are too large, too slow, too frequent or too many at once."""

    def __init__(self, app: ASGIApp, *, per_second: float) -> None:
        self._app = app
        self._throttle = Throttle(per_second)
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request on if it is within the limits."""
        refusal = self._refusal(scope)
        if refusal is not None:
            await problem(refusal)(scope, receive, send)
            return
        self._under_way += 1
        left = False

        def leave() -> None:
            # Counts once, though an event stream leaves when it begins and again when it ends.
            nonlocal left
            if not left:
                left = True
                self._under_way -= 1

        scope["hyperpage.leave"] = leave
        body = _Body(receive)
        try:
            await self._app(scope, body.receive, _in_time(send, scope["hyperpage.abort"]))
        finally:
            leave()

    def _refusal(self, scope: Scope) -> Busy | HttpRefusal | None:
        client = scope["client"]
        if (wait := self._throttle.wait_seconds(client[0] if client else "unknown")) > 0:
            return TooManyRequests(
                "too many requests from there", hint="try again", retry_after_ms=max(1, round(wait * 1000))
            )
        if self._under_way >= MAXIMUM_UNDER_WAY:
            return Busy("too many requests are under way", hint="try again", retry_after_ms=RETRY_AFTER_MS)
        if _head_bytes(scope) > MAXIMUM_HEAD_BYTES:
            # Only a head that came in one piece gets here; the protocol refuses longer ones as they come.
            return HeadTooLarge(MAXIMUM_HEAD_BYTES)
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if said.isdigit() and int(said) > MAXIMUM_BODY_BYTES:
            return BodyTooLarge(int(said), MAXIMUM_BODY_BYTES)
        return None


def _head_bytes(scope: Scope) -> int:
    size = len(scope["raw_path"]) + len(scope["query_string"])
    return size + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


class _Body:
    """A request's body as it comes in."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        self._size = 0
        self._is_whole = False

    async def receive(self) -> Message:
        """The next part of it.

        Raises:
            BodyTooLarge, RequestTimeout: it is too large, or took too long.
        """
        if self._is_whole:
            # The next message is the end of the connection; an answer may wait for that as long as it takes.
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimeout("the body did not arrive in time", headers={"Connection": "close"}) from None
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._size > MAXIMUM_BODY_BYTES:
                raise BodyTooLarge(self._size, MAXIMUM_BODY_BYTES)
        return message


def _in_time(send: Send, abort: Callable[[], None]) -> Send:
    """The same `send`, which cuts the connection of a reader that does not read.

    It then raises a `ReaderTooSlowError`, so that nothing more is made for that reader.
    """

    async def send_in_time(message: Message) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)
        except TimeoutError:
            # `close` would wait for the reader.
            abort()
            raise ReaderTooSlowError from None

    return send_in_time

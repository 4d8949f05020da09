"""Bodies of requests while they arrive: how long each may take, and how much of all is kept: `Bodies`."""

import asyncio
from collections import Counter
from collections.abc import Callable

from starlette.types import Message, Receive

from ops.http.refusals import BodyTooLarge, RequestTimeout, TooManyRequests

# A batch of 960 KiB with room to spare.
MAXIMUM_BODY_BYTES = 1024 * 1024
# A body that has not arrived whole in this time is refused.
BODY_SECONDS = 20.0
# A slow body is refused sooner: it has so long at first, and a second more for so many bytes that came.
FIRST_SECONDS = 5.0
BYTES_FOR_A_SECOND = 4 * 1024
# How many bytes of unfinished bodies are kept, in all and of one address; and how many such bodies an address
# may have.
MAXIMUM_KEPT_BYTES = 64 * 1024 * 1024
MAXIMUM_KEPT_OF_ONE_BYTES = 16 * 1024 * 1024
MAXIMUM_OF_ONE = 128
RETRY_AFTER_MS = 1_000


class Bodies:
    """All bodies that are arriving. If they are too many or too large, the oldest one is given up."""

    def __init__(self) -> None:
        # By address: its bodies in the order in which they began, and how many bytes they have.
        self._arriving: dict[str, dict[Body, None]] = {}
        self._bytes: Counter[str] = Counter()

    def expect(self, receive: Receive, address: str, on_whole: Callable[[], None]) -> "Body":
        """A body that begins to arrive; `on_whole` is called when it is whole, and may refuse the request."""
        body = Body(receive, on_whole, self, address)
        its_own = self._arriving.setdefault(address, {})
        its_own[body] = None
        if len(its_own) > MAXIMUM_OF_ONE:
            next(iter(its_own)).give_way()
        return body

    def grew(self, body: "Body", by_bytes: int) -> None:
        """Counts bytes of a body, and gives up one if there are too many in all, or of the address."""
        if body not in self._arriving.get(body.address, {}):
            return
        body.size += by_bytes
        self._bytes[body.address] += by_bytes
        if self._bytes[body.address] > MAXIMUM_KEPT_OF_ONE_BYTES:
            self._oldest_with_bytes(body.address).give_way()
        elif self._bytes.total() > MAXIMUM_KEPT_BYTES:
            [(most, _)] = self._bytes.most_common(1)
            self._oldest_with_bytes(most).give_way()

    def forget(self, body: "Body") -> None:
        """Stops counting a body that is whole or refused; further calls do nothing."""
        its_own = self._arriving.get(body.address, {})
        if body not in its_own:
            return
        del its_own[body]
        self._bytes[body.address] -= body.size
        if not its_own:
            del self._arriving[body.address], self._bytes[body.address]

    def _oldest_with_bytes(self, address: str) -> "Body":
        return next(one for one in self._arriving[address] if one.size)


class Body:
    """One body while it arrives."""

    def __init__(self, receive: Receive, on_whole: Callable[[], None], bodies: Bodies, address: str) -> None:
        self._receive = receive
        self._on_whole = on_whole
        self._bodies = bodies
        self.address = address
        self._began = asyncio.get_running_loop().time()
        self.size = 0
        """How many bytes have arrived."""
        self._is_whole = False
        self._gave_way = False
        self._waiting: asyncio.Timeout | None = None

    async def receive(self) -> Message:
        """The next part of the body.

        Raises:
            BodyTooLarge, RequestTimeout, TooManyRequests: it is too large, took too long, or was given up.
            Busy: it is whole, and there is no place for its request.
        """
        if self._is_whole:
            # The next message is the end of the connection, for which an answer may wait without a time
            # limit.
            return await self._receive()
        message = await self._next()
        if message["type"] == "http.request":
            self._bodies.grew(self, len(message.get("body", b"")))
            if self.size > MAXIMUM_BODY_BYTES:
                raise BodyTooLarge(self.size, MAXIMUM_BODY_BYTES)
            if not message.get("more_body", False):
                self._is_whole = True
                self.forget()
                self._on_whole()
        return message

    async def _next(self) -> Message:
        allowed = min(BODY_SECONDS, FIRST_SECONDS + self.size / BYTES_FOR_A_SECOND)
        try:
            async with asyncio.timeout_at(self._began + allowed) as self._waiting:
                if self._gave_way:
                    self.give_way()
                return await self._receive()
        except TimeoutError:
            if self._gave_way:
                raise TooManyRequests(
                    "too many bodies from there are not whole",
                    hint="try again",
                    headers={"Connection": "close"},
                    retry_after_ms=RETRY_AFTER_MS,
                ) from None
            raise RequestTimeout(
                "the body did not arrive in time",
                hint="nothing was changed: send it again, all of it at once",
                headers={"Connection": "close"},
            ) from None
        finally:
            self._waiting = None

    def give_way(self) -> None:
        """Gives the body up: its request is refused, at once or when the next part is asked for."""
        self._gave_way = True
        self.forget()
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    def forget(self) -> None:
        """Stops counting the body."""
        self._bodies.forget(self)

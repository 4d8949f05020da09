"""Sends answers, and cuts off readers that are too slow: `Answers`."""

import asyncio
from collections.abc import Callable

from starlette.types import Message, Send

from ops.http.refusals import ReaderTooSlowError

# How long a piece of an answer may wait for its reader, before the connection is cut.
SEND_SECONDS = 20.0
# A large piece may wait longer: a second more for so many bytes that its reader has taken.
BYTES_FOR_A_SECOND = 8 * 1024
# How much is handed to the connection at once; the rest waits until that is sent.
SLICE_BYTES = 64 * 1024
# How much of large answers may wait for readers in all; beyond that, the one that waits longest is given up.
MAXIMUM_WAITING_BYTES = 64 * 1024 * 1024


class Answers:
    """All answers of more than one slice that have not been read yet."""

    def __init__(self) -> None:
        # For each waiting answer, oldest first: the function that cuts its connection, and its size.
        self._waiting: dict[object, tuple[Callable[[], None], int]] = {}

    def in_time(self, send: Send, abort: Callable[[], None]) -> Send:
        """A `send` that cuts the connection if the reader is too slow.

        It then raises a `ReaderTooSlowError`, so that no more of the answer is made.
        """

        async def send_in_time(message: Message) -> None:
            body: bytes = message.get("body", b"")
            try:
                if len(body) <= SLICE_BYTES:
                    async with asyncio.timeout(SEND_SECONDS):
                        await send(message)
                else:
                    await self._send_in_slices(send, abort, message, body)
            except TimeoutError:
                # Not closed, since closing would wait for the reader.
                abort()
                raise ReaderTooSlowError from None

        return send_in_time

    async def _send_in_slices(
        self, send: Send, abort: Callable[[], None], message: Message, body: bytes
    ) -> None:
        waiting = object()
        self._waiting[waiting] = (abort, len(body))
        self._bound()
        began = asyncio.get_running_loop().time()
        try:
            for start in range(0, len(body), SLICE_BYTES):
                end = start + SLICE_BYTES
                more = end < len(body) or message.get("more_body", False)
                async with asyncio.timeout_at(began + SEND_SECONDS + start / BYTES_FOR_A_SECOND):
                    await send({**message, "body": body[start:end], "more_body": more})
        finally:
            self._waiting.pop(waiting, None)

    def _bound(self) -> None:
        while sum(size for _, size in self._waiting.values()) > MAXIMUM_WAITING_BYTES:
            abort, _ = self._waiting.pop(next(iter(self._waiting)))
            abort()

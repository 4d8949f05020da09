"""One connection: uvicorn's protocol, with limits for clients that only hold connections open.

It leans on `H11Protocol`: on `app`, `conn`, `cycle`, `connections`, `transport` and `send_400_response`.
"""

import asyncio
import sys
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from ops.http.connections.strict_reading import NotStrictError, StrictConnection
from ops.http.layers.limits import MAXIMUM_HEAD_BYTES
from ops.http.layers.security_headers import SECURITY_HEADERS

# How long a request's line and headers may take, from the first byte on (or the connection's beginning).
HEAD_SECONDS = 10.0
MAXIMUM_CONNECTIONS = 512


class Connection(H11Protocol):
    """A connection whose requests must come in time. Of too many, an idle one gives way to a new one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = StrictConnection(MAXIMUM_HEAD_BYTES)
        self._answer = self.app
        self.app = self._answer_abortably
        self._is_turned_away = False
        self._head_is_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= MAXIMUM_CONNECTIONS and not self._has_made_room():
            self._is_turned_away = True
            transport.abort()
            return
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self._is_turned_away:
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            if self._head_is_late is None and not self.transport.is_closing():
                self._expect_head()
        else:
            self._expect_no_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_no_head()
        if not self._is_turned_away:
            super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered on it."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, or has too long a head, and closes."""
        # Called while h11's error is handled, which knows the status where it is another one.
        error = sys.exception()
        hint = getattr(error, "error_status_hint", 400)
        # Messages of h11 repeat what was sent; our own say what is wrong with it.
        message = str(error) if isinstance(error, NotStrictError) else msg
        if hint == 431:
            message = "the head is too long" if message is msg else message
            self._say_and_close(431, "Request Header Fields Too Large", "too_large", message)
        elif hint == 413:
            self._say_and_close(413, "Content Too Large", "too_large", message)
        else:
            self._say_and_close(400, "Bad Request", "invalid", message)

    async def _answer_abortably(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["hyperpage.abort"] = self.transport.abort
        await self._answer(scope, receive, send)

    def _has_made_room(self) -> bool:
        for one in self.connections:
            if isinstance(one, Connection) and one.is_idle:
                self.connections.discard(one)
                one.transport.abort()
                return True
        return False

    def _expect_head(self) -> None:
        self._head_is_late = self.loop.call_later(HEAD_SECONDS, self._head_came_late)

    def _expect_no_head(self) -> None:
        if self._head_is_late is not None:
            self._head_is_late.cancel()
            self._head_is_late = None

    def _head_came_late(self) -> None:
        self._say_and_close(408, "Request Timeout", "request_timeout", "the request did not arrive in time")

    def _say_and_close(self, status: int, phrase: str, code: str, message: str) -> None:
        # Written by hand, since h11 may be in a state in which it writes nothing more.
        if self.transport.is_closing():
            return
        if not self.is_idle:
            # Whoever answers this request has nobody left to answer.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            # An answer has begun, or is through: another one would be taken for that of the next request.
            self.transport.close()
            return
        body = (
            f'{{"type":"urn:hyperpage:problem:{code}","title":"{phrase}","status":{status},'
            f'"detail":"{message}","code":"{code}","hint":"","details":{{}}}}'
        )
        headers = {
            **SECURITY_HEADERS,
            "Content-Type": "application/problem+json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n{body}".encode())
        self.transport.close()

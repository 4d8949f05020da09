"""One connection: uvicorn's protocol, with limits for clients that only hold connections open.

It leans on `H11Protocol`: on `app`, `conn`, `cycle`, `flow`, `transport`, `on_response_complete` and
`send_400_response`.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from ops.http.connections.crowd import Crowd, Seat
from ops.http.connections.strict_reading import NotStrictError, StrictConnection
from ops.http.connections.tls import Certificates
from ops.http.layers.limits import MAXIMUM_HEAD_BYTES
from ops.http.layers.security_headers import SECURITY_HEADERS

# How long a request's line and headers may take, from the first byte on (or the connection's beginning).
HEAD_SECONDS = 10.0
# If a request is answered before its body is whole, the rest is read and discarded, for so long and up to so
# many bytes. Closing at once could lose the answer before the client has read it.
UNWANTED_SECONDS = 3.0
UNWANTED_BYTES = 1024 * 1024
# How much of an answer may wait in a connection for its reader, beside the kernel's buffer.
WRITE_BUFFER_BYTES = 64 * 1024
# The scope's key under which `ops/http/access/certificates.py` finds the name in a client's certificate.
CERTIFICATE_NAME = "hyperpage.certificate_name"
# How long a closing connection waits for a reader that has not read all.
CLOSE_SECONDS = 10.0
_HINT = "nothing was changed: send it anew, on another connection, as docs/http.md says"


class Connection(H11Protocol):
    """A connection whose requests must come in time, and which gives way to a new one while it only waits."""

    def __init__(
        self,
        *arguments: Any,
        seat: Seat,
        crowd: Crowd,
        certificates: Certificates | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.conn = StrictConnection(MAXIMUM_HEAD_BYTES)
        self._answer = self.app
        self.app = self._answer_abortably
        self._seat = seat
        self._crowd = crowd
        self._certificates = certificates
        self._certificate_name: Callable[[], str | None] = lambda: None
        self._head_is_late: asyncio.TimerHandle | None = None
        # Since when the rest of an answered request's body is discarded, and how much of it came.
        self._unwanted_since: float | None = None
        self._unwanted_bytes = 0
        self._closing_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        if self._certificates is not None:
            self._certificate_name = self._certificates.name_of(transport)
        self._seat.abort = transport.abort
        self._seat.only_waits = self._only_waits
        self._seat.look_after = self._look_after
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            if self._head_is_late is None and not self.transport.is_closing():
                self._expect_head()
        else:
            self._expect_no_head()
        if self._is_unwanted:
            self._unwanted_bytes += len(data)
            if self._unwanted_bytes > UNWANTED_BYTES:
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_no_head()
        self._crowd.leave(self._seat)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._crowd.was_of_use(self._seat)
        super().on_response_complete()
        if self._is_unwanted:
            self._unwanted_since = self.loop.time()
            self._unwanted_bytes = 0

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered on it."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Answers a request that is no HTTP, or has too long a head, and closes."""
        # Called while h11's error is handled; the error has the status if it is not 400.
        error = sys.exception()
        hint = getattr(error, "error_status_hint", 400)
        # Messages of h11 may repeat input, so only our own are passed on.
        message = str(error) if isinstance(error, NotStrictError) else msg
        if hint == 431:
            message = "the head is too long" if message is msg else message
            self._say_and_close(431, "Request Header Fields Too Large", "too_large", message)
        elif hint == 413:
            self._say_and_close(413, "Content Too Large", "too_large", message)
        else:
            self._say_and_close(400, "Bad Request", "invalid", message)

    async def _answer_abortably(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._crowd.was_of_use(self._seat)
        scope[CERTIFICATE_NAME] = self._certificate_name
        scope["hyperpage.abort"] = self.transport.abort
        await self._answer(scope, receive, send)

    @property
    def _is_unwanted(self) -> bool:
        """Whether incoming bytes are the rest of a body whose request is answered already."""
        return self.is_idle and self.conn.their_state is h11.SEND_BODY

    def _only_waits(self) -> bool:
        return self.is_idle or self.cycle.more_body or self.flow.write_paused

    def _look_after(self, now: float) -> None:
        if self._is_unwanted and now - (self._unwanted_since or now) > UNWANTED_SECONDS:
            self.transport.close()
        if not self.transport.is_closing():
            return
        if self._closing_since is None:
            self._closing_since = now
        elif now - self._closing_since > CLOSE_SECONDS:
            self.transport.abort()

    def _expect_head(self) -> None:
        self._head_is_late = self.loop.call_later(HEAD_SECONDS, self._head_came_late)

    def _expect_no_head(self) -> None:
        if self._head_is_late is not None:
            self._head_is_late.cancel()
            self._head_is_late = None

    def _head_came_late(self) -> None:
        self._say_and_close(408, "Request Timeout", "request_timeout", "the request did not arrive in time")

    def _say_and_close(self, status: int, phrase: str, code: str, message: str) -> None:
        # Written without h11, which may be in a state in which it writes nothing more.
        if self.transport.is_closing():
            return
        if not self.is_idle:
            # Tells the application that the client is gone.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            # An answer has begun or ended: a client would take another one for that of its next request.
            self.transport.close()
            return
        body = (
            f'{{"type":"urn:hyperpage:problem:{code}","title":"{phrase}","status":{status},'
            f'"detail":"{message}","code":"{code}","hint":"{_HINT}","details":{{}}}}'
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

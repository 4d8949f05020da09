"""Counts requests over HTTP, and the streams of events that are open: `CountingMiddleware`."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops.metrics.http_counts import HttpCounts

# Other methods are counted as "other": clients may send any word, and each would become a series of its own.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class CountingMiddleware:
    """Counts responses by method and status, and times them."""

    def __init__(self, app: ASGIApp, counts: HttpCounts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts a request when its response begins, and records its duration when the response ends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        is_stream = False
        ended: float | None = None

        async def note(message: Message) -> None:
            nonlocal is_stream, ended
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._counts.requests.add(method, str(message["status"]))
                is_stream = _is_stream(message)
                self._counts.streams += is_stream
            await send(message)
            # Background work after the response does not count: the client does not wait for it.
            if message["type"] == "http.response.body" and not message.get("more_body"):
                ended = time.perf_counter()

        try:
            await self._app(scope, receive, note)
        finally:
            if is_stream:
                self._counts.streams -= 1
            else:
                self._counts.durations.observe((ended or time.perf_counter()) - began)


def _is_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in start.get("headers", ())
    )

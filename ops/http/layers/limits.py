"""The bounds of a request: bytes, time, and its share of the service. `LimitsMiddleware`."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import Busy
from ops.http.layers.addresses import network_of
from ops.http.layers.bodies import MAXIMUM_BODY_BYTES, Bodies
from ops.http.layers.places import (
    MAXIMUM_OF_ONE,
    MAXIMUM_SCRAPING,
    MAXIMUM_UNDER_WAY,
    MAXIMUM_WATCHING,
    Places,
    Stay,
)
from ops.http.layers.sending import Answers
from ops.http.layers.throttle import Throttle
from ops.http.problem import problem
from ops.http.refusals import BodyTooLarge, HeadTooLarge, HttpRefusal, TooManyRequests

# Line and headers together.
MAXIMUM_HEAD_BYTES = 32 * 1024
# The programs that ask for these may restart the service, so these requests never wait for others.
HEALTH_PATHS = frozenset({"/livez", "/readyz"})
METRICS_PATH = "/metrics"


class LimitsMiddleware:
    """Refuses requests that are too large, too slow, too frequent or too many at once.

    A request holds a place from the end of its body until its answer begins, so neither slow senders nor slow
    readers hold places.
    """

    def __init__(self, app: ASGIApp, *, per_second: float) -> None:
        self._app = app
        self._throttle = Throttle(per_second)
        self._places = Places(MAXIMUM_UNDER_WAY, MAXIMUM_OF_ONE)
        watching = Places(MAXIMUM_WATCHING, MAXIMUM_WATCHING)
        scraping = Places(MAXIMUM_SCRAPING, MAXIMUM_SCRAPING)
        self._places_of = {**dict.fromkeys(HEALTH_PATHS, watching), METRICS_PATH: scraping}
        self._bodies = Bodies()
        self._answers = Answers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on if it is within the limits."""
        client = scope["client"]
        address = network_of(client[0]) if client else "unknown"
        path = scope["path"]
        stay = Stay(self._places_of.get(path, self._places), address)
        scope["hyperpage.stay"] = stay
        body = self._bodies.expect(receive, address, stay.enter) if _has_body(scope) else None
        in_time = self._answers.in_time(send, scope["hyperpage.abort"])

        async def send_and_leave(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The answer is made: the place is free, however long its reader takes.
                stay.leave()
            await in_time(message)

        try:
            throttled = None if path in HEALTH_PATHS else address
            refusal: Busy | HttpRefusal | None = self._refusal(scope, throttled)
            if refusal is None and body is None:
                refusal = _entered(stay)
            if refusal is not None:
                await problem(refusal)(scope, receive, send_and_leave)
            else:
                await self._app(scope, receive if body is None else body.receive, send_and_leave)
        finally:
            if body is not None:
                body.forget()
            stay.leave()

    def _refusal(self, scope: Scope, throttled: str | None) -> HttpRefusal | None:
        if throttled is not None and (wait := self._throttle.wait_seconds(throttled)) > 0:
            return TooManyRequests(
                "too many requests from there", hint="try again", retry_after_ms=max(1, round(wait * 1000))
            )
        if _head_bytes(scope) > MAXIMUM_HEAD_BYTES:
            # Only a long head that came in one piece gets here; the protocol refuses others while they
            # arrive.
            return HeadTooLarge(MAXIMUM_HEAD_BYTES)
        if (said := _said_length(scope)) > MAXIMUM_BODY_BYTES:
            return BodyTooLarge(said, MAXIMUM_BODY_BYTES)
        return None


def _entered(stay: Stay) -> Busy | None:
    try:
        stay.enter()
    except Busy as refusal:
        return refusal
    return None


def _head_bytes(scope: Scope) -> int:
    size = len(scope["raw_path"]) + len(scope["query_string"])
    return size + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def _said_length(scope: Scope) -> int:
    return int(next((value for name, value in scope["headers"] if name == b"content-length"), b"0"))


def _has_body(scope: Scope) -> bool:
    is_chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
    return is_chunked or _said_length(scope) > 0

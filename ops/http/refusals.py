"""Refusals that only HTTP has, beside those of the contract."""

from collections.abc import Mapping
from typing import Any, ClassVar

from domain.errors import NotFound


class HttpRefusal(Exception):
    """A request that is refused as a request of HTTP; `headers` go with the answer.

    It is none of the contract's: a client of the bus never meets it.
    """

    code: ClassVar[str]
    number: ClassVar[int]

    def __init__(
        self, message: str, *, hint: str = "", headers: Mapping[str, str] | None = None, **details: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details
        self.headers = dict(headers or {})


class ReaderTooSlowError(ConnectionError):
    """The reader of an answer was too slow, and its connection was cut."""


def no_such_place() -> NotFound:
    """There is nothing at this path."""
    return NotFound("there is nothing at this path", hint="/openapi.json lists all paths")


class MethodNotAllowed(HttpRefusal):
    """The path is right, and the method is not."""

    code: ClassVar[str] = "method_not_allowed"
    number: ClassVar[int] = 405

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method[:20]} is not for this path", headers={"Allow": allowed})


class Unauthorized(HttpRefusal):
    """Nobody knows who asks."""

    code: ClassVar[str] = "unauthorized"
    number: ClassVar[int] = 401


class Forbidden(HttpRefusal):
    """Who asks may not."""

    code: ClassVar[str] = "forbidden"
    number: ClassVar[int] = 403


class Misdirected(HttpRefusal):
    """The request names a host that is none of ours: a browser may have been led here."""

    code: ClassVar[str] = "misdirected"
    number: ClassVar[int] = 421


class UnsupportedMediaType(HttpRefusal):
    """The body is not JSON, or does not say so."""

    code: ClassVar[str] = "unsupported_media_type"
    number: ClassVar[int] = 415


class TooManyRequests(HttpRefusal):
    """Too much from one address, or at all; `details.retry_after_ms` says when to try again."""

    code: ClassVar[str] = "too_many_requests"
    number: ClassVar[int] = 429


class BodyTooLarge(HttpRefusal):
    """The body is larger than any that means something; the rest of it is not read."""

    code: ClassVar[str] = "too_large"
    number: ClassVar[int] = 413

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the body has {size_bytes} bytes or more, and may have {limit_bytes}",
            headers={"Connection": "close"},
            limit_bytes=limit_bytes,
            size_bytes=size_bytes,
        )


class HeadTooLarge(HttpRefusal):
    """The request's line and headers are longer than any that mean something."""

    code: ClassVar[str] = "too_large"
    number: ClassVar[int] = 431

    def __init__(self, limit_bytes: int) -> None:
        super().__init__("the head is too long", headers={"Connection": "close"}, limit_bytes=limit_bytes)


class RequestTimeout(HttpRefusal):
    """The request did not arrive in time."""

    code: ClassVar[str] = "request_timeout"
    number: ClassVar[int] = 408

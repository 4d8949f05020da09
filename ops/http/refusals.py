"""Refusals that only HTTP has, beside those of the contract."""

from collections.abc import Mapping
from typing import Any, ClassVar

from domain.errors import NotFound


class HttpRefusal(Exception):
    """The refusal of a request for a reason that only HTTP has; `headers` go with the answer.

    It is not part of the contract: clients of the bus never get it.
    """

    code: ClassVar[str]
    number: ClassVar[int]

    def __init_subclass__(cls, *, code: str, number: int) -> None:
        cls.code, cls.number = code, number

    def __init__(
        self, message: str, *, hint: str, headers: Mapping[str, str] | None = None, **details: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details
        self.headers = dict(headers or {})


class ReaderTooSlowError(ConnectionError):
    """The reader of an answer was too slow, and its connection was cut."""


def no_such_place(near: str | None = None) -> NotFound:
    """The refusal for an unknown path; `near` is the table, command or query that may be meant."""
    opening, details = (f"did you mean {near}? ", {"did_you_mean": near}) if near else ("", {})
    return NotFound(
        "there is nothing at this path",
        hint=f"{opening}/openapi.json lists all paths, and /docs shows them",
        **details,
    )


class MethodNotAllowed(HttpRefusal, code="method_not_allowed", number=405):
    """The path exists, but not for this method."""

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(
            f"{method[:20]} is not for this path",
            hint=f"nothing was done; there is {allowed}",
            headers={"Allow": allowed},
        )


class Unauthorized(HttpRefusal, code="unauthorized", number=401):
    """The caller is unknown: the request has no valid credentials."""


class Forbidden(HttpRefusal, code="forbidden", number=403):
    """The caller is known, but has no right to do this."""


class Misdirected(HttpRefusal, code="misdirected", number=421):
    """The request names a host that is not this service's: a browser may have been led here."""


class UnsupportedMediaType(HttpRefusal, code="unsupported_media_type", number=415):
    """The body is not JSON, or its Content-Type does not say so."""


class TooManyRequests(HttpRefusal, code="too_many_requests", number=429):
    """Too many requests, from one address or in all; `details.retry_after_ms` says when to try again."""


class BodyTooLarge(HttpRefusal, code="too_large", number=413):
    """The body is larger than any valid one; the rest of it is not read."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the body has {size_bytes} bytes or more, and may have {limit_bytes}",
            hint="nothing was done: send less at once",
            headers={"Connection": "close"},
            limit_bytes=limit_bytes,
            size_bytes=size_bytes,
        )


class HeadTooLarge(HttpRefusal, code="too_large", number=431):
    """The request line and the headers are longer than any valid ones."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            "the head is too long",
            hint="nothing was done: send shorter headers, and a shorter address",
            headers={"Connection": "close"},
            limit_bytes=limit_bytes,
        )


class RequestTimeout(HttpRefusal, code="request_timeout", number=408):
    """The request did not arrive in time."""

"""Errors as HTTP has them: problem details (RFC 9457), with what a refusal says on the bus.

    {"type": "urn:hyperpage:problem:version_conflict", "title": "Version conflict", "status": 412,
     "detail": "…", "code": "version_conflict", "hint": "…", "details": {…}}

`rule`, `path` and `incident` stand beside them where `details` has them.
"""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from domain.errors import Refusal
from ops.http.refusals import HttpRefusal, no_such_place

MEDIA_TYPE = "application/problem+json"
# Where front ends of the system before ask.
LEGACY_PATHS = ("/api/tools/config", "/api/backup")
_TYPE = "urn:hyperpage:problem:"
# What of the details stands at the top, too.
_PROMOTED = ("rule", "path", "incident")


def problem(
    refusal: Refusal | HttpRefusal, *, status: int | None = None, is_legacy: bool = False
) -> Response:
    """The response for a refusal; `status` where HTTP has a better one than the refusal's number.

    `is_legacy` has the message as `error`, too, as the system before had it.
    """
    number = refusal.number if status is None else status
    body: dict[str, Any] = {
        "type": _TYPE + refusal.code,
        "title": refusal.code.replace("_", " ").capitalize(),
        "status": number,
        "detail": refusal.message,
        "code": refusal.code,
        "hint": refusal.hint,
        "details": refusal.details,
    }
    body |= {name: refusal.details[name] for name in _PROMOTED if name in refusal.details}
    if is_legacy:
        body["error"] = refusal.message
    return Response(codec.encode(body), number, _headers(refusal), MEDIA_TYPE)


def _headers(refusal: Refusal | HttpRefusal) -> dict[str, str]:
    headers = refusal.headers.copy() if isinstance(refusal, HttpRefusal) else {}
    if (wait_ms := refusal.details.get("retry_after_ms")) is not None:
        # Whole seconds, and never earlier than said.
        headers["Retry-After"] = str(max(1, -(-int(wait_ms) // 1_000)))
    return headers


async def answer_refusal(request: Request, error: Exception) -> Response:
    """For the application: a refusal that a route raised."""
    assert isinstance(error, Refusal | HttpRefusal)
    return problem(error, is_legacy=request.scope["path"] in LEGACY_PATHS)


async def answer_no_such_place(_: Request, error: Exception) -> Response:
    """For the application: what the router says of a path that there is not."""
    assert isinstance(error, HTTPException)
    return problem(no_such_place())

"""Errors over HTTP: problem details (RFC 9457), with every member that a refusal has on the bus.

    {"type": "urn:hyperpage:problem:version_conflict", "title": "Version conflict", "status": 412,
     "detail": "…", "code": "version_conflict", "hint": "…", "details": {…}}

`rule`, `path` and `incident` are at the top, too, if `details` has them.
"""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from domain.errors import Refusal
from ops.http.refusals import HttpRefusal, no_such_place

MEDIA_TYPE = "application/problem+json"
# The paths that front ends of the previous system use.
LEGACY_PATHS = ("/api/tools/config", "/api/backup")
# Details that are repeated at the top.
_PROMOTED = ("rule", "path", "incident")


def problem(
    refusal: Refusal | HttpRefusal, *, status: int | None = None, is_legacy: bool = False
) -> Response:
    """The response for a refusal; `status` replaces the refusal's number if HTTP has a better one.

    With `is_legacy`, the message is also in `error`, as in the previous system.
    """
    number = refusal.number if status is None else status
    body: dict[str, Any] = {
        "type": f"urn:hyperpage:problem:{refusal.code}",
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
        # In whole seconds, rounded up, so that no client comes earlier than the refusal says.
        headers["Retry-After"] = str(max(1, -(-int(wait_ms) // 1_000)))
    return headers


async def answer_refusal(request: Request, error: Exception) -> Response:
    """The response for a refusal that a route raised; an exception handler for Starlette."""
    assert isinstance(error, Refusal | HttpRefusal)
    return problem(error, is_legacy=request.scope["path"] in LEGACY_PATHS)


async def answer_no_such_place(_: Request, error: Exception) -> Response:
    """The response for a path without a route; an exception handler for Starlette."""
    assert isinstance(error, HTTPException)
    return problem(no_such_place())

"""The document that describes all of this: `/openapi.json`."""

from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from bus.contract import codec
from ops.http.openapi.places import OPENAPI
from ops.http.routing import access_of, json_response, route
from ops.version import service_version


async def answer_openapi(request: Request) -> Response:
    """The document, as it holds for this service."""
    access = access_of(request)
    return json_response(_document(access.cookie_name, access.tokens.required))


@cache
def _document(cookie: str, needs_token: bool) -> bytes:
    from ops.http.openapi.document import openapi_document

    return codec.encode(openapi_document(service_version(), needs_token=needs_token, cookie=cookie))


ROUTES = [route(OPENAPI, answer_openapi, role=None)]

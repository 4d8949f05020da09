"""A whole service and an HTTP client, for tests that read from top to bottom."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.support.http_clients import asynchronous_client
from tests.support.services.talking import Talk


def problem(response: httpx.Response, status: int, code: str) -> Any:
    """The body of a response that says what is wrong, as RFC 9457 has it."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), body
    return body


class HttpTalk(Talk):
    """A service that listens for HTTP on a free port of the loopback. `with` ends it.

    It needs no tokens unless a test says otherwise: most tests are not about rights.
    """

    def __init__(self, data: Path, *, clock: Callable[[], int] | None = None, **settings: Any) -> None:
        super().__init__(
            data, clock=clock, **{"no_http": False, "http": "127.0.0.1:0", "http_open": True, **settings}
        )

    @property
    def url(self) -> str:
        """The address at which the service listens."""
        assert self.service.http is not None
        return self.service.http.url

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The response to one request; `json`, `content`, `headers` and `params` as httpx has them."""

        async def ask() -> httpx.Response:
            async with asynchronous_client(self.url) as client:
                return await client.request(method, path, **request)

        response: httpx.Response = self.run(ask())
        return response

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self.ask("GET", path, **request)

    def post(self, path: str, json: Any = None, **request: Any) -> httpx.Response:
        return self.ask("POST", path, json=json, **request)

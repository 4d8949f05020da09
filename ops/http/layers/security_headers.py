"""Headers that tell a browser what it may do with an answer: `SecurityHeadersMiddleware`."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# For pages. They load files of this server only: no inline script, no inline style, no eval.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# For all other answers: browsers run and show nothing in them.
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # No referrer for other sites. With no-referrer, browsers would send our own forms with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Content-Security-Policy": DATA_POLICY,
    # An answer holds for this moment, and for its caller alone.
    "Cache-Control": "no-store",
}


class SecurityHeadersMiddleware:
    """Adds the headers that an answer has not set itself; pages get the policy for pages."""

    def __init__(self, app: ASGIApp, *, hsts_seconds: int) -> None:
        self._app = app
        self._always = dict(SECURITY_HEADERS)
        # Sent over TLS only: for so many seconds, a browser uses TLS alone for this host (RFC 6797).
        self._over_tls = {**SECURITY_HEADERS, "Strict-Transport-Security": f"max-age={hsts_seconds}"}
        if hsts_seconds == 0:
            self._over_tls = self._always

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and adds headers to its response."""
        added = self._over_tls if scope["scheme"] == "https" else self._always

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("Content-Security-Policy", PAGE_POLICY)
                for name, value in added.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)

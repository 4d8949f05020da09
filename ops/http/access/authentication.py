"""The caller of a request, and whether they may: `Access`.

Authorization: Bearer …     a token                                   scripts, services
a cookie                    a session that was opened with a token    browsers
a client's certificate      the token that has its name                 services
nothing                     anybody on this machine, as long as there never was a token
"""

from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from ops.http.access.certificates import token_of_certificate
from ops.http.access.roles import Principal, Role
from ops.http.access.sessions import CSRF_FIELD, CSRF_HEADER, Session, Sessions, is_from_a_page_of
from ops.http.access.tokens import PREFIX, Token, Tokens, hash_of
from ops.http.forms import read_form
from ops.http.layers.addresses import MAXIMUM_CHARACTERS, network_of
from ops.http.layers.guard import SAFE_METHODS
from ops.http.layers.throttle import Guesses
from ops.http.refusals import Forbidden, TooManyRequests, Unauthorized

# As long as there is no token, whoever reaches the loopback may do everything: they are on this machine.
ANYBODY = Principal(name="anybody on this machine", role="admin", kind="anybody")

# Longer than any token.
MAXIMUM_SECRET_CHARACTERS = 200
# Headers that a reverse proxy adds. Behind a proxy, the whole world seems to come from this machine.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
# Keys of the request's scope, under which the caller is kept once found.
_PRINCIPAL = "hyperpage.principal"
_SESSION = "hyperpage.session"


class Access:
    """Finds the caller of a request. Used from the event loop's thread only."""

    def __init__(
        self, data: Path, *, on_change: Callable[[str, Token], None] = lambda verb, token: None
    ) -> None:
        self.tokens = Tokens(data, on_change=on_change)
        self.sessions = Sessions()
        self.guesses = Guesses()
        self.cookie_name = "hyperpage_session"

    def principal(self, request: Request) -> Principal:
        """The caller, who is looked up once for each request.

        Raises:
            Unauthorized: nobody knows.
            TooManyRequests: there were too many tokens from there that were none.
        """
        if _PRINCIPAL not in request.scope:
            request.scope[_PRINCIPAL] = self._found(request)
        principal: Principal = request.scope[_PRINCIPAL]
        return principal

    def may_still(self, request: Request) -> bool:
        """Whether the caller would be let in now, too: a stream may go on for longer than a token is good."""
        request.scope.pop(_PRINCIPAL, None)
        request.scope.pop(_SESSION, None)
        try:
            self.principal(request)
        except (Unauthorized, TooManyRequests):
            return False
        return True

    def _found(self, request: Request) -> Principal:
        authorization = request.headers.get("authorization")
        if authorization is not None:
            scheme, _, secret = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise _no_token("only bearer tokens are known here")
            return _bearer(self._token(request, secret.strip()))
        if (session := self.session(request)) is not None:
            return session.principal
        if (token := token_of_certificate(request, self.tokens)) is not None:
            return _bearer(token)
        if self.tokens.required:
            raise Unauthorized(
                "this needs a token",
                hint="`hyperpage token create` makes one; send it as `Authorization: Bearer …`",
                headers={"WWW-Authenticate": 'Bearer realm="hyperpage"'},
            )
        if any(name in request.headers for name in _FORWARDED):
            raise Unauthorized(
                "this came through a proxy, and without a token only this machine is served",
                hint="make one with `hyperpage token create`",
                headers={"WWW-Authenticate": 'Bearer realm="hyperpage"'},
            )
        return ANYBODY

    async def admit(self, request: Request, role: Role) -> Principal:
        """The caller, who has the role.

        Raises:
            Unauthorized, TooManyRequests: as `principal`.
            Forbidden: they lack the role, or another site had their browser send this.
        """
        principal = self.principal(request)
        principal.require(role)
        if request.method not in SAFE_METHODS and "authorization" not in request.headers:
            session = self.session(request)
            if session is not None and not is_from_a_page_of(session, await _csrf_token(request)):
                raise Forbidden(
                    "the page that sent this is not of this session",
                    hint=f"load it again, or send {CSRF_HEADER}",
                )
        return principal

    def session(self, request: Request) -> Session | None:
        """The browser's session, as long as the token that it was opened with is good."""
        if _SESSION not in request.scope:
            request.scope[_SESSION] = self._found_session(request)
        session: Session | None = request.scope[_SESSION]
        return session

    def _found_session(self, request: Request) -> Session | None:
        secret = request.cookies.get(self.cookie_name)
        session = None if secret is None else self.sessions.find(secret)
        if session is None or secret is None:
            return None
        if session.token_hash is None:
            good = not self.tokens.required
        else:
            good = self.tokens.still_good(session.token_hash) is not None
        if not good:
            self.sessions.close(secret)
            return None
        return session

    def log_in(self, request: Request, secret: str) -> tuple[str, Session]:
        """The secret of a new session's cookie, and the session, for a caller who shows a token.

        Raises:
            Unauthorized, TooManyRequests: as `principal`.
        """
        token = self._token(request, secret)
        return self.sessions.open(_bearer(token), token.hash)

    def session_for_page(self, request: Request) -> tuple[str | None, Session]:
        """The browser's session; a new one, after the secret of its cookie, where no token is needed.

        Raises:
            Unauthorized: it has to log in.
        """
        if (session := self.session(request)) is not None:
            return None, session
        principal = self.principal(request)
        if principal is ANYBODY:
            return self.sessions.open(principal, None)
        if "authorization" not in request.headers:
            token = token_of_certificate(request, self.tokens)
            return self.sessions.open(principal, None if token is None else token.hash)
        secret = request.headers["authorization"].partition(" ")[2].strip()
        return self.sessions.open(principal, hash_of(secret))

    def set_cookie(self, request: Request, response: Response, secret: str) -> None:
        """Has the browser keep a session."""
        response.set_cookie(
            self.cookie_name,
            secret,
            httponly=True,
            # Sent along with links from other sites, so that addresses can be shared, and with nothing else.
            samesite="lax",
            secure=request.url.scheme == "https",
            path="/",
        )

    def end_session(self, request: Request) -> None:
        """Ends the browser's session, if it has one."""
        if (secret := request.cookies.get(self.cookie_name)) is not None:
            self.sessions.close(secret)

    def delete_cookie(self, response: Response) -> None:
        """Has the browser forget its session."""
        response.delete_cookie(self.cookie_name, path="/", httponly=True, samesite="lax")

    def _token(self, request: Request, secret: str) -> Token:
        address = network_of(address_of(request))
        token_hash = hash_of(secret[:MAXIMUM_SECRET_CHARACTERS])
        wait = self.guesses.wait_seconds(address, token_hash)
        if wait > 0:
            raise TooManyRequests(
                "too many tokens from there were none",
                hint="try again later",
                retry_after_ms=round(wait * 1000),
            )
        token = self.tokens.still_good(token_hash)
        if token is None or not secret.startswith(PREFIX):
            self.guesses.forget(token_hash)
            self.guesses.was_wrong(address)
            raise _no_token("there is no such token, or it was revoked, or has expired")
        self.guesses.was_right(address, token_hash)
        return token


def address_of(request: Request) -> str:
    """The address that a request comes from, as far as the connection tells."""
    # A proxy may have handed on whatever its client wrote in the place of an address.
    return request.client.host[:MAXIMUM_CHARACTERS] if request.client is not None else "unknown"


async def _csrf_token(request: Request) -> str:
    said = request.headers.get(CSRF_HEADER)
    return said if said is not None else (await read_form(request)).said(CSRF_FIELD)


def _bearer(token: Token) -> Principal:
    return Principal(name=token.name, role=token.role, kind="token")


def _no_token(message: str) -> Unauthorized:
    return Unauthorized(
        message, headers={"WWW-Authenticate": 'Bearer realm="hyperpage", error="invalid_token"'}
    )

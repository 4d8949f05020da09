"""The caller of a request, and what they may do: `Access`.

The first of these that a request has decides who the caller is:

Authorization: Bearer …     a token, a user's token, or the secret of `admin.json`    scripts, services
a cookie                    a session, opened with a token or with a link             browsers
a client's certificate      the token, or else the user, with its name                services
nothing                     anonymous, if the settings say that no token is needed; otherwise refused
"""

import hmac
import secrets
from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from bus.serving.audit import Act
from ops.http.access.attempts import Attempts, address_of
from ops.http.access.certificates import token_of_certificate, user_of_certificate
from ops.http.access.links import LogInLinks
from ops.http.access.roles import Principal, Role
from ops.http.access.sessions import CSRF_FIELD, CSRF_HEADER, Session, Sessions, is_from_a_page_of
from ops.http.access.tokens import PREFIX, Token, Tokens, hash_of
from ops.http.forms import read_form
from ops.http.layers.addresses import network_of
from ops.http.layers.guard import SAFE_METHODS
from ops.http.layers.throttle import Guesses
from ops.http.refusals import Forbidden, TooManyRequests, Unauthorized
from ops.security.users import KnownUsers, User

# The caller without token and session, if the settings say that no token is needed.
ANONYMOUS = Principal(name="anonymous", role="admin", kind="anybody")
# The caller that bears the secret of `admin.json`.
LOCAL = Principal(name="admin", role="read", kind="local")

# Longer than any token.
MAXIMUM_SECRET_CHARACTERS = 200
# Headers that a reverse proxy adds. Behind a proxy, all requests seem to come from this machine.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
# Messages for refused tokens. Only a caller that bears the token gets to know that it expired or was revoked.
_WHY_NOT = {
    "unknown_token": "there is no such token",
    "expired": "this token has expired",
    "revoked": "this token was revoked",
}
# Keys of the request's scope that hold the caller and the session once they were looked up.
_PRINCIPAL = "hyperpage.principal"
_SESSION = "hyperpage.session"


class Access:
    """Finds the caller of a request. Used from the event loop's thread only.

    `is_open` says that no token is needed. The command line on this machine bears `local_secret`. `note` gets
    the acts for the audit log: log-ins and refusals.
    """

    def __init__(
        self,
        data: Path,
        *,
        is_open: bool = False,
        on_change: Callable[[str, Token], None] = lambda verb, token: None,
        note: Callable[[Act], None] = lambda act: None,
    ) -> None:
        self.attempts = Attempts(note)
        self.is_open = is_open
        self.tokens = Tokens(data, on_change=on_change)
        self.users = KnownUsers(data)
        self.links = LogInLinks(data)
        self.local_secret = secrets.token_urlsafe(32)
        self._local_hash = hash_of(self.local_secret)
        self.sessions = Sessions()
        self.guesses = Guesses()
        self.cookie_name = "hyperpage_session"

    def principal(self, request: Request) -> Principal:
        """The caller, looked up once for each request.

        Raises:
            Unauthorized: the caller is not known.
            TooManyRequests: the caller's network has sent too many wrong tokens.
        """
        if _PRINCIPAL not in request.scope:
            request.scope[_PRINCIPAL] = self._found(request)
        principal: Principal = request.scope[_PRINCIPAL]
        return principal

    def may_still(self, request: Request) -> bool:
        """Whether the caller is still let in: a stream may last longer than the caller's token is valid."""
        request.scope.pop(_PRINCIPAL, None)
        request.scope.pop(_SESSION, None)
        try:
            self.principal(request)
        except (Unauthorized, TooManyRequests):
            return False
        return True

    def _found(self, request: Request) -> Principal:
        if (secret := _bearer_secret(request)) is not None:
            if hmac.compare_digest(hash_of(secret), self._local_hash):
                return LOCAL
            if (user := self.users.with_token(hash_of(secret))) is not None:
                return _user(user)
            return _bearer(self._token(request, secret, "token.use"))
        if (session := self.session(request)) is not None:
            return session.principal
        if (token := token_of_certificate(request, self.tokens)) is not None:
            return _bearer(token)
        if (user := user_of_certificate(request, self.users)) is not None:
            return _user(user)
        if "authorization" in request.headers:
            raise _no_token("only bearer tokens are known here", hint="send it as `Authorization: Bearer …`")
        if not self.is_open:
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
        return ANONYMOUS

    async def admit(self, request: Request, role: Role, *, for_users: bool = False) -> Principal:
        """The caller, if they have the role, or are a user of their own and the route is `for_users`.

        Raises:
            Unauthorized, TooManyRequests: as `principal`.
            Forbidden: the caller lacks the role, or another site made the browser send this.
        """
        principal = self.principal(request)
        if principal.kind != "user" or not for_users:
            self.require(request, principal, role)
        # Only sessions need this check: browsers send cookies by themselves, but no bearer tokens.
        session = None if request.method in SAFE_METHODS else self.session(request)
        if session is not None and not is_from_a_page_of(session, await _csrf_token(request)):
            self.attempts.forbidden(request, principal, "a page of the session")
            raise Forbidden(
                "the page that sent this is not of this session",
                hint=f"load it again, or send {CSRF_HEADER}",
            )
        return principal

    def require(self, request: Request, principal: Principal, role: Role) -> None:
        """Returns if a caller has a role.

        Raises:
            Forbidden: they lack it; the attempt is recorded.
        """
        if not principal.may(role):
            self.attempts.forbidden(request, principal, role)
        principal.require(role)

    def has_ended(self, request: Request) -> bool:
        """Whether a browser sends the cookie of a session that has ended."""
        return self.cookie_name in request.cookies and self.session(request) is None

    def session(self, request: Request) -> Session | None:
        """The session that decides who the caller is; `None` if a bearer token decides, or there is none.

        A session that was opened with a token ends with that token at the latest.
        """
        if _SESSION not in request.scope:
            has_bearer = _bearer_secret(request) is not None
            request.scope[_SESSION] = None if has_bearer else self._found_session(request)
        session: Session | None = request.scope[_SESSION]
        return session

    def _found_session(self, request: Request) -> Session | None:
        secret = request.cookies.get(self.cookie_name)
        session = None if secret is None else self.sessions.find(secret)
        if session is None or secret is None:
            return None
        if session.token_hash is not None:
            token = self.tokens.still_good(session.token_hash)
            good = token is not None and session.principal == _bearer(token)
        else:
            good = session.principal.kind == "link" or self.is_open
        if not good:
            self.sessions.close(secret)
            return None
        return session

    def log_in(self, request: Request, secret: str) -> tuple[str, Session]:
        """The secret of a new session's cookie, and the session, for a caller who shows a token.

        Raises:
            Unauthorized, TooManyRequests: as `principal`.
        """
        token = self._token(request, secret, "session.open")
        self.attempts.logged_in(request, _bearer(token), "token")
        return self.sessions.open(_bearer(token), token.hash)

    def log_in_by_link(self, request: Request, code: str) -> tuple[str, Session]:
        """As `log_in`, for a caller who shows the code of a link, which uses up the link.

        Raises:
            Unauthorized: the code belongs to no link, or the link was used or is too old.
            TooManyRequests: as `principal`.
        """
        code = code[:MAXIMUM_SECRET_CHARACTERS]
        address = self._guessing(request, hash_of(code), "session.open")
        link = self.links.use(code)
        if link is None:
            self.guesses.was_wrong(address)
            self.attempts.not_let_in(request, "session.open", "unknown_link")
            raise Unauthorized(
                "this link was used, or is too old", hint="`hyperpage console` makes a new one"
            )
        principal = Principal(name="console", role=link.role, kind="link")
        self.attempts.logged_in(request, principal, f"a link of {link.created_by}")
        return self.sessions.open(principal, None)

    def session_for_page(self, request: Request) -> tuple[str | None, Session]:
        """The caller's session, after the secret of its cookie if the session is new, else `None`.

        A new session is opened for a caller who needs no token.

        Raises:
            Unauthorized: the caller has to log in.
        """
        principal = self.principal(request)
        if (secret := _bearer_secret(request)) is not None:
            return None, self.sessions.of_bearer(principal, hash_of(secret))
        if (session := self.session(request)) is not None:
            return None, session
        if (token := token_of_certificate(request, self.tokens)) is not None:
            # The certificate comes with each request, as a bearer token does, so no cookie is needed.
            return None, self.sessions.of_bearer(principal, token.hash)
        return self.sessions.open(principal, None)

    def set_cookie(self, request: Request, response: Response, secret: str) -> None:
        """Sets the session's cookie in a response."""
        response.set_cookie(
            self.cookie_name,
            secret,
            httponly=True,
            # Links on other sites send the cookie, so that addresses can be shared; their forms do not.
            samesite="lax",
            secure=request.url.scheme == "https",
            path="/",
        )

    def end_session(self, request: Request) -> None:
        """Ends the browser's session, unless a bearer token decides who the caller is."""
        secret = request.cookies.get(self.cookie_name)
        if secret is not None and _bearer_secret(request) is None:
            if (session := self.sessions.find(secret)) is not None:
                self.attempts.logged_out(request, session.principal)
            self.sessions.close(secret)

    def delete_cookie(self, response: Response) -> None:
        """Deletes the session's cookie in a response."""
        response.delete_cookie(self.cookie_name, path="/", httponly=True, samesite="lax")

    def _token(self, request: Request, secret: str, action: str) -> Token:
        token_hash = hash_of(secret[:MAXIMUM_SECRET_CHARACTERS])
        address = self._guessing(request, token_hash, action)
        token = self.tokens.still_good(token_hash)
        if token is None and self.tokens.problem is not None:
            # Not counted as a guess, since right tokens are not known now, either.
            self.attempts.not_let_in(request, action, "tokens_unreadable")
            raise _no_token("no token is known at the moment", hint="`hyperpage status` says why")
        if token is None or not secret.startswith(PREFIX):
            self.guesses.forget(token_hash)
            self.guesses.was_wrong(address)
            why, owner = self.tokens.why_not(token_hash)
            self.attempts.not_let_in(request, action, why, owner)
            raise _no_token(
                _WHY_NOT[why],
                hint="`hyperpage token list` says which there are, and `hyperpage token create`"
                " makes another one",
            )
        self.guesses.was_right(address, token_hash)
        return token

    def _guessing(self, request: Request, secret_hash: str, action: str) -> str:
        """The network of a caller whose secret may be checked now.

        Raises:
            TooManyRequests: too many secrets from this network were wrong.
        """
        address = network_of(address_of(request))
        wait = self.guesses.wait_seconds(address, secret_hash)
        if wait > 0:
            self.attempts.not_let_in(request, action, "too_many_requests")
            raise TooManyRequests(
                "too many tokens from there were none",
                hint="try again later",
                retry_after_ms=round(wait * 1000),
            )
        return address


async def _csrf_token(request: Request) -> str:
    said = request.headers.get(CSRF_HEADER)
    return said if said is not None else (await read_form(request)).said(CSRF_FIELD)


def _bearer_secret(request: Request) -> str | None:
    """The bearer secret of a request; `None` if there is none.

    Raises:
        Unauthorized: there are several headers Authorization, of which a proxy may have checked another one.
    """
    said = request.headers.getlist("authorization")
    if len(said) > 1:
        raise _no_token("there is more than one header Authorization", hint="send one of them alone")
    scheme, _, secret = "".join(said).partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def _user(user: User) -> Principal:
    return Principal(name=user.name, role="read", kind="user", rights=user.rights)


def _bearer(token: Token) -> Principal:
    return Principal(name=token.name, role=token.role, kind="token")


def _no_token(message: str, *, hint: str) -> Unauthorized:
    headers = {"WWW-Authenticate": 'Bearer realm="hyperpage", error="invalid_token"'}
    return Unauthorized(message, hint=hint, headers=headers)

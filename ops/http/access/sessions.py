"""Browsers that are logged in: `Sessions`. They are kept in memory, and end with the process.

A session is a cookie that scripts cannot read, and a second secret that its pages hold and send back with
each change. Another site can make a browser send the cookie, but it cannot know the second secret.
"""

import hmac
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

import msgspec

from ops.http.access.roles import Principal

CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
MAXIMUM_SESSIONS = 1_000
# A session ends when it is unused for the shorter time, and in any case after the longer one.
IDLE_SECONDS = 2 * 3600.0
LIFETIME_SECONDS = 12 * 3600.0


class Session(msgspec.Struct, kw_only=True):
    """A browser's session. `token_hash` is the hash of the token that opened it; `None` if no token did.

    `notices` are the results of actions for the next page to show: each a tone and a text.
    """

    principal: Principal
    token_hash: str | None
    csrf_token: str
    began: float
    used: float
    notices: list[tuple[str, str]] = []
    # The input of a form that was refused, and the path of the page with the form.
    typed: dict[str, str] = {}
    typed_at: str = ""


class Sessions:
    """The browsers that are logged in. `clock` counts seconds from any moment."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # In order of use: the first has been unused longest.
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        # Sessions of bearer tokens, by the token's hash: one a token, for all its requests.
        self._of_bearers: OrderedDict[str, Session] = OrderedDict()

    def open(self, principal: Principal, token_hash: str | None) -> tuple[str, Session]:
        """A new session, and the secret of its cookie."""
        secret = secrets.token_urlsafe(32)
        session = self._sessions[secret] = self._new(principal, token_hash)
        if len(self._sessions) > MAXIMUM_SESSIONS:
            self._end_one()
        return secret, session

    def of_bearer(self, principal: Principal, token_hash: str) -> Session:
        """The session for a bearer token. It has no cookie, since each request brings the token."""
        session = self._of_bearers.get(token_hash)
        if session is None or session.principal != principal:
            session = self._of_bearers[token_hash] = self._new(principal, token_hash)
        self._of_bearers.move_to_end(token_hash)
        if len(self._of_bearers) > MAXIMUM_SESSIONS:
            self._of_bearers.popitem(last=False)
        return session

    def find(self, secret: str) -> Session | None:
        """The session with a cookie's secret, marked as used now; `None` if there is none or it has ended."""
        session = self._sessions.get(secret)
        if session is None:
            return None
        now = self._clock()
        if now - session.used > IDLE_SECONDS or now - session.began > LIFETIME_SECONDS:
            del self._sessions[secret]
            return None
        session.used = now
        self._sessions.move_to_end(secret)
        return session

    def close(self, secret: str) -> None:
        """Ends a session, if there is one."""
        self._sessions.pop(secret, None)

    def _new(self, principal: Principal, token_hash: str | None) -> Session:
        now = self._clock()
        csrf_token = secrets.token_urlsafe(32)
        return Session(principal=principal, token_hash=token_hash, csrf_token=csrf_token, began=now, used=now)

    def _end_one(self) -> None:
        """Ends the least recently used session of the principal with most, so that none crowds out others."""
        holders = Counter(one.principal.name for one in self._sessions.values())
        (most, _), *_ = holders.most_common(1)
        del self._sessions[next(key for key, one in self._sessions.items() if one.principal.name == most)]


def is_from_a_page_of(session: Session, said: str) -> bool:
    """Whether a request carries the CSRF token, which only pages of this session know."""
    return hmac.compare_digest(said.encode(), session.csrf_token.encode())

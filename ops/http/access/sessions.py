"""Browsers that are logged in: `Sessions`. They are kept in memory, and end with the process.

A session is a cookie that scripts cannot read, and a second secret that its pages hold and send back with
each change. Another site can make a browser send the cookie, but it cannot know the second secret.
"""

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from ops.http.access.roles import Principal

CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
MAXIMUM_SESSIONS = 1_000
# A session ends when it was unused for the shorter time, and in any case after the longer one.
IDLE_SECONDS = 2 * 3600.0
LIFETIME_SECONDS = 12 * 3600.0


class Session(msgspec.Struct, kw_only=True):
    """One browser. `token_hash` is that of the token it was logged in with; `None` where none is needed.

    `notices` are what the next page says of what was done before it: a tone, and a text each.
    """

    principal: Principal
    token_hash: str | None
    csrf_token: str
    began: float
    used: float
    notices: list[tuple[str, str]] = []


class Sessions:
    """The browsers that are logged in. `clock` counts seconds from any moment."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # In order of use: the first has been unused longest.
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def open(self, principal: Principal, token_hash: str | None) -> tuple[str, Session]:
        """A new session, and the secret of its cookie."""
        now = self._clock()
        secret = secrets.token_urlsafe(32)
        session = Session(
            principal=principal,
            token_hash=token_hash,
            csrf_token=secrets.token_urlsafe(32),
            began=now,
            used=now,
        )
        self._sessions[secret] = session
        while len(self._sessions) > MAXIMUM_SESSIONS:
            self._sessions.popitem(last=False)
        return secret, session

    def find(self, secret: str) -> Session | None:
        """The session of a cookie, which counts as used."""
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


def is_from_a_page_of(session: Session, said: str) -> bool:
    """Whether a request carries the secret that only a page of this session knows."""
    return hmac.compare_digest(said.encode(), session.csrf_token.encode())

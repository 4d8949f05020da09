"""`Logins`: the passwords of the embedded nats-server's users, as they are kept."""

import secrets
import time
from collections.abc import Mapping

import msgspec

from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, USERS, WATCHER

# The service's own users, whose passwords are never given out.
OWN = (RELAY, RESPONDER, WATCHER)
# The most old logins of a user that may still be valid.
MAXIMUM_OLD = 3


class Login(msgspec.Struct, frozen=True, omit_defaults=True):
    """A name and a password that let a user in. Times are milliseconds since the epoch."""

    name: str
    password: str
    expires_at: int | None = None


class Logins:
    """The logins of all users, the newest of each last."""

    def __init__(self, kept: Mapping[str, tuple[Login, ...] | str], *, renews_own: bool = False) -> None:
        """`kept` is an earlier result of `as_kept`, or a password for each user.

        With `renews_own`, the service's own users get new passwords.
        """
        self._of: dict[str, tuple[Login, ...]] = {}
        for user in USERS:
            found = () if renews_own and user in OWN else kept.get(user, ())
            if isinstance(found, str):
                found = (Login(user, found),)
            self._of[user] = found or (Login(user, _new_password()),)

    def current(self, user: str) -> Login:
        """The login that is given out."""
        return self._of[user][-1]

    def good(self, user: str) -> tuple[Login, ...]:
        """All logins that are valid now."""
        now = _now()
        return tuple(one for one in self._of[user] if one.expires_at is None or now < one.expires_at)

    def rotate(self, user: str, *, old_ms: int) -> None:
        """Makes a new login; the user's other logins stay valid for `old_ms`.

        Raises:
            ValueError: the user is one of the service's own.
        """
        if user not in (APP, ADMIN):
            raise ValueError(f"{user} is not {APP} or {ADMIN}")
        until = _now() + old_ms
        kept = [
            msgspec.structs.replace(one, expires_at=min(until, one.expires_at or until))
            for one in self.good(user)
            if old_ms
        ][-MAXIMUM_OLD:]
        # Numbered, since nats-server needs a different name for each login.
        number = 1 + max(int(one.name.partition(".")[2] or 1) for one in self._of[user])
        self._of[user] = (*kept, Login(f"{user}.{number}", _new_password()))

    def as_kept(self) -> dict[str, tuple[Login, ...]]:
        """All valid logins, in the form that `__init__` takes."""
        return {user: self.good(user) for user in USERS}


def _new_password() -> str:
    # 192 bits, without a character that a URL would need escaped.
    return secrets.token_urlsafe(24)


def _now() -> int:
    return time.time_ns() // 1_000_000

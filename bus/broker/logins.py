"""The passwords by which the users of the embedded nats-server come in, as they are kept: `Logins`."""

import secrets
import time
from collections.abc import Mapping

import msgspec

from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, USERS, WATCHER

# Whose passwords nobody outside of the service has.
OWN = (RELAY, RESPONDER, WATCHER)
# How many old ones may still be good.
MAXIMUM_OLD = 3


class Login(msgspec.Struct, frozen=True, omit_defaults=True):
    """A name and a password that let a user in. Times are milliseconds since the epoch."""

    name: str
    password: str
    expires_at: int | None = None


class Logins:
    """The logins of all users, the newest of each last."""

    def __init__(self, kept: Mapping[str, tuple[Login, ...] | str], *, renews_own: bool = False) -> None:
        """`kept` is what `as_kept` once answered, or a password for each user.

        With `renews_own`, those of the service itself are others than they were.
        """
        self._of: dict[str, tuple[Login, ...]] = {}
        for user in USERS:
            found = () if renews_own and user in OWN else kept.get(user, ())
            if isinstance(found, str):
                found = (Login(user, found),)
            self._of[user] = found or (Login(user, _new_password()),)

    def current(self, user: str) -> Login:
        """The one that is handed out."""
        return self._of[user][-1]

    def good(self, user: str) -> tuple[Login, ...]:
        """All that let the user in now."""
        now = _now()
        return tuple(one for one in self._of[user] if one.expires_at is None or now < one.expires_at)

    def rotate(self, user: str, *, old_ms: int) -> None:
        """Makes a new login; the others are good for `old_ms` still.

        Raises:
            ValueError: the user is none that others come in as.
        """
        if user not in (APP, ADMIN):
            raise ValueError(f"{user} is not {APP} or {ADMIN}")
        until = _now() + old_ms
        kept = [
            msgspec.structs.replace(one, expires_at=min(until, one.expires_at or until))
            for one in self.good(user)
            if old_ms
        ][-MAXIMUM_OLD:]
        # nats-server knows each login by its name.
        number = 1 + max(int(one.name.partition(".")[2] or 1) for one in self._of[user])
        self._of[user] = (*kept, Login(f"{user}.{number}", _new_password()))

    def as_kept(self) -> dict[str, tuple[Login, ...]]:
        """All that are good, for `__init__`."""
        return {user: self.good(user) for user in USERS}


def _new_password() -> str:
    # 192 bits, without a character that a URL would need escaped.
    return secrets.token_urlsafe(24)


def _now() -> int:
    return time.time_ns() // 1_000_000

"""The names of users' consumers at JetStream: each begins with its user and ends with a secret code.

A client that knows the name of a consumer can take its messages and acknowledge them: the subjects for that
carry nothing else. So the user `billing` asks for `mine`, and JetStream has `billing-mine-5f2c…`. The code is
made from a key of the service, so it is the same after each start. No other user can guess or list it.
"""

import hashlib
import hmac
import re

# Some of the characters left out here are refused by JetStream, too: it makes subjects and folders of names.
_NAME = re.compile(r"[^\x00-\x20\x7f.*>/\\]{1,128}")
_CODE_CHARACTERS = 32


class ConsumerNames:
    """Translates between the names that users know and JetStream's. `key` is the secret behind the codes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def real(self, user: str, stream: str, name: str) -> str | None:
        """JetStream's name of a user's consumer; `None` if `name` is not allowed."""
        if _NAME.fullmatch(name) is None:
            return None
        return f"{user}-{name}-{self._code(user, stream, name)}"

    def known(self, user: str, stream: str, real: str) -> str | None:
        """The name under which a user knows a consumer; `None` if the consumer is not this user's."""
        name = real.removeprefix(f"{user}-")[: -_CODE_CHARACTERS - 1]
        made = self.real(user, stream, name)
        return name if made is not None and hmac.compare_digest(made.encode(), real.encode()) else None

    def user_of(self, stream: str, real: str) -> str | None:
        """The user that a consumer belongs to; `None` if it belongs to no user."""
        parts = real.split("-")
        # A user's name may have a dash, too.
        users = ("-".join(parts[:count]) for count in range(1, len(parts)))
        return next((user for user in users if self.known(user, stream, real) is not None), None)

    def _code(self, user: str, stream: str, name: str) -> str:
        said = "\0".join((user, stream, name)).encode()
        return hashlib.blake2b(said, key=self._key, digest_size=_CODE_CHARACTERS // 2).hexdigest()

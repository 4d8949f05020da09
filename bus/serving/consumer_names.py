"""The names of users' consumers at JetStream: whose it is stands in front, and the end cannot be guessed.

Who knows the name of a consumer can take its messages and acknowledge them: the subjects for that carry
nothing else. A user says `mine` and means `billing-mine-5f2c…`, which is made from a key of the service, so
that it is the same after each start. Nobody else can say it, and nothing lists it to another user.
"""

import hashlib
import hmac
import re

# Some are no part of a name for JetStream either: it makes subjects and folders of them.
_NAME = re.compile(r"[^\x00-\x20\x7f.*>/\\]{1,128}")
_CODE_CHARACTERS = 32


class ConsumerNames:
    """Names as users know them, and as JetStream does. `key` is the secret that they are made from."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def real(self, user: str, stream: str, name: str) -> str | None:
        """JetStream's name of a user's consumer; `None` if there can be none of that name."""
        if _NAME.fullmatch(name) is None:
            return None
        return f"{user}-{name}-{self._code(user, stream, name)}"

    def known(self, user: str, stream: str, real: str) -> str | None:
        """The name under which a user knows a consumer; `None` if it is not this user's."""
        name = real.removeprefix(f"{user}-")[: -_CODE_CHARACTERS - 1]
        made = self.real(user, stream, name)
        return name if made is not None and hmac.compare_digest(made.encode(), real.encode()) else None

    def user_of(self, stream: str, real: str) -> str | None:
        """The user whose consumer it is; `None` if it is no user's."""
        parts = real.split("-")
        # A user's name may have a dash, too.
        users = ("-".join(parts[:count]) for count in range(1, len(parts)))
        return next((user for user in users if self.known(user, stream, real) is not None), None)

    def _code(self, user: str, stream: str, name: str) -> str:
        said = "\0".join((user, stream, name)).encode()
        return hashlib.blake2b(said, key=self._key, digest_size=_CODE_CHARACTERS // 2).hexdigest()

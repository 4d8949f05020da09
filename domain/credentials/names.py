"""The names under which people keep credentials: `token`, `client_secret`, `dbPassword`, `X-Api-Key`."""

import re
from functools import lru_cache

# The last words of a credential's name: `token_count` is about something else.
_LAST_WORDS = frozenset(
    {"token", "secret", "password", "passwd", "passphrase", "pwd", "authorization", "auth", "bearer"}
    | {"credential", "apikey", "accesskey", "secretkey", "privatekey", "authtoken", "accesstoken"}
)
_KINDS_OF_KEY = frozenset(
    {"api", "access", "secret", "private", "signing", "encryption", "master", "shared", "account", "auth"}
)
# Tokens of these kinds say where the next page begins, which is not secret.
_KINDS_OF_PLACE = frozenset(
    {"page", "next", "previous", "continuation", "pagination", "sync", "resume", "cursor", "delta", "change"}
)
_PASSWORDS = frozenset({"password", "passwd", "passphrase", "pwd"})
# Names of what else stands in an object whose name is a credential's.
_ABOUT_IT = frozenset(
    {
        "id",
        "name",
        "type",
        "kind",
        "url",
        "uri",
        "href",
        "path",
        "file",
        "host",
        "issuer",
        "audience",
        "scope",
    }
    | {"at", "expire", "user", "username", "email", "realm", "title", "description", "algorithm", "format"}
    | {"pattern", "version", "ref", "schema", "digest", "fingerprint", "endpoint", "domain", "region"}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# The longest name: what is longer is a text.
_LONGEST = 200


@lru_cache(maxsize=4096)
def is_of_credential(name: str) -> bool:
    """Whether what has this name is a credential."""
    words = _words(name)
    if not words:
        return False
    last = words[-1]
    before = words[-2] if len(words) > 1 else ""
    if last == "key":
        return before in _KINDS_OF_KEY
    return last in _LAST_WORDS and not (last == "token" and before in _KINDS_OF_PLACE)


@lru_cache(maxsize=4096)
def is_of_password(name: str) -> bool:
    """Whether what has this name is what people type in: it may be short, and is rarely random."""
    words = _words(name)
    return bool(words) and words[-1] in _PASSWORDS


@lru_cache(maxsize=4096)
def is_about_credential(name: str) -> bool:
    """Whether what has this name, beside a credential, is not the credential."""
    words = _words(name)
    return bool(words) and words[-1] in _ABOUT_IT


def _words(name: str) -> list[str]:
    """The words of a name in whatever way it is written, in lower case and the singular."""
    if len(name) > _LONGEST:
        return []
    words = [word.lower() for word in _WORD.findall(name)]
    if words and len(words[-1]) > 3:
        words[-1] = words[-1].removesuffix("s")
    return words

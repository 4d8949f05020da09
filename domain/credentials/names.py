"""The names under which people keep credentials: `token`, `client_secret`, `dbPassword`, `X-Api-Key`."""

import re
from functools import lru_cache

# The last words of credentials' names. Only the last word counts: `token_count` names something else.
_LAST_WORDS = frozenset(
    {"token", "secret", "password", "passwd", "passphrase", "pwd", "authorization", "auth", "bearer"}
    | {"credential", "apikey", "accesskey", "secretkey", "privatekey", "authtoken", "accesstoken"}
)
_KINDS_OF_KEY = frozenset(
    {"api", "access", "secret", "private", "signing", "encryption", "master", "shared", "account", "auth"}
)
# Tokens of these kinds say where the next page or part begins, which is not secret.
_KINDS_OF_PLACE = frozenset(
    {"page", "next", "previous", "continuation", "pagination", "sync", "resume", "cursor", "delta", "change"}
)
_PASSWORDS = frozenset({"password", "passwd", "passphrase", "pwd"})
# Names of other members in an object that has the name of a credential.
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
# The longest name; anything longer is taken for a text.
_LONGEST = 200


@lru_cache(maxsize=4096)
def is_of_credential(name: str) -> bool:
    """Whether a value with this name is a credential."""
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
    """Whether a value with this name is a password: people type it in, so it may be short and not random."""
    words = _words(name)
    return bool(words) and words[-1] in _PASSWORDS


@lru_cache(maxsize=4096)
def is_about_credential(name: str) -> bool:
    """Whether a value with this name, in the object of a credential, is about it and not the credential."""
    words = _words(name)
    return bool(words) and words[-1] in _ABOUT_IT


def _words(name: str) -> list[str]:
    """The words of a name in snake, camel or any other case, in lower case, the last one in the singular."""
    if len(name) > _LONGEST:
        return []
    words = [word.lower() for word in _WORD.findall(name)]
    if words and len(words[-1]) > 3:
        words[-1] = words[-1].removesuffix("s")
    return words

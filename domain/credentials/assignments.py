"""Credentials that a text gives to a name: `token=…`, `Authorization: Bearer …`, `"password": "…"`."""

import re

from domain.credentials.names import is_of_credential, is_of_password
from domain.credentials.randomness import is_password, is_placeholder, is_random

# The value is found first, and then the name in front of it: a search for names would try every letter of a
# long text. A value may hold another assignment, as in `//host/:_authToken=…`.
_ASSIGNED = re.compile(
    r"(?<=[\w\s\"'])[:=]\s{0,3}[\"']?(?:(?:bearer|basic|token)\s{1,3})?(?=(?P<value>[^\s\"',;&<>()]{10,256}))",
    re.IGNORECASE,
)
_IN_MARKUP = re.compile(r"<(?P<name>[\w.-]{1,60})>(?P<value>[^\s<>]{6,256})</")
# Parameters in the query of a URL: `_ASSIGNED` takes the whole URL for one value.
_IN_A_QUERY = re.compile(r"[?&#](?P<name>[\w.-]{1,60})=(?P<value>[^\s\"'&#<>]{6,256})")
_NAME_BEFORE = re.compile(r"(?P<name>[\w-]{1,60})[\"']?\s{0,3}$")
_LONGEST_NAME_BEFORE = 64
_SHORTEST = 10
# Passwords are typed by people and may be short.
_PASSWORD = re.compile(
    r"(?:passw(?:or)?d|passphrase|pwd)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?P<value>[^\s\"',;&<>()]{3,256})",
    re.IGNORECASE,
)
# Marks of a connection string, in which any word may be the password.
_CONNECTION = re.compile(
    r"(?<![a-z])(?:server|host|hostaddr|data source|user id|uid|user|username|dbname|database)\s{0,3}=",
    re.IGNORECASE,
)
# Passwords in the notations of programs: curl's `-u`, and the file .netrc.
_BY_A_PROGRAM = re.compile(
    r"\s(?:-u|--user)[\s=]{1,3}[\"']?[^\s:\"']{1,100}:(?P<one>[^\s\"']{3,256})"
    r"|\blogin\s{1,3}\S{1,100}\s{1,3}password\s{1,3}(?P<other>\S{3,256})",
    re.IGNORECASE,
)


def has_assignment(text: str) -> bool:
    """Whether a text assigns a value that looks like a credential to the name of one."""
    if len(text) < _SHORTEST:
        return False
    if ":" in text or "=" in text:
        for one in _ASSIGNED.finditer(text):
            before = _NAME_BEFORE.search(text[max(0, one.start() - _LONGEST_NAME_BEFORE) : one.start()])
            if before and _is_given_away(before["name"], one["value"]):
                return True
        if ("?" in text or "#" in text) and any(
            _is_given_away(one["name"], one["value"]) for one in _IN_A_QUERY.finditer(text)
        ):
            return True
        if _has_password(text):
            return True
    if "</" in text and any(_is_given_away(one["name"], one["value"]) for one in _IN_MARKUP.finditer(text)):
        return True
    if "curl " in text or "login" in text:
        return any(not is_placeholder(one["one"] or one["other"]) for one in _BY_A_PROGRAM.finditer(text))
    return False


def _is_given_away(name: str, value: str) -> bool:
    if is_of_password(name):
        return is_password(value)
    return len(value) >= _SHORTEST and is_of_credential(name) and is_random(value)


def _has_password(text: str) -> bool:
    connects: bool | None = None
    for one in _PASSWORD.finditer(text):
        value = one["value"]
        if is_password(value):
            return True
        if connects is None:
            connects = _CONNECTION.search(text) is not None
        if connects and not is_placeholder(value):
            return True
    return False

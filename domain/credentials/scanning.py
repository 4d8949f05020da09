"""Credentials are not stored: where a JSON document holds one, and what is let through all the same.

    raw JSON ── may_hold_credential ──▶ no: that was all
                                    ──▶ perhaps ── credentials_in ──▶ findings ──▶ refused, unless allowed

An event is kept for ever and handed to everybody who follows: what slips in cannot be taken back. A finding
says where and of what kind, never what.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from domain.credentials.names import is_about_credential, is_of_credential, is_of_password
from domain.credentials.shapes import REFERENCE, is_password, is_random, kind_of_shape
from domain.errors import SecretRejected
from domain.json_values import step

# The kinds of values that their names give away, beside the kinds of shapes.
HIGH_ENTROPY = "high_entropy_value"
PASSWORD = "password"
# The kind of what cannot be looked through.
UNREADABLE = "unreadable"

# The shortest piece of text with a shape, except for a URL's.
_RUN = 20
_PIECES = bytes.maketrans(
    bytes(range(256)),
    bytes(
        ord("a") if chr(code).isascii() and (chr(code).isalnum() or chr(code) in "_+=") else
        ord("-") if chr(code) == "-" else
        ord(" ")
        for code in range(256)
    ),
)  # fmt: skip
_UUID = b"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
# Assignments in a text: `token=…`, `Authorization: Bearer …`, `"password": "…"`. The value is found first,
# and the name then looked for backwards from it: every letter of a long text could be the beginning of a
# name.
_ASSIGNED = re.compile(
    r"[:=]\s{0,3}[\"']?(?:(?:bearer|basic|token)\s{1,3})?(?P<value>[^\s\"',;&<>()]{10,256})", re.IGNORECASE
)
# Assignments in the query of an address, which is one single value to the expression above.
_IN_A_QUERY = re.compile(r"[?&#](?P<name>[\w.-]{1,60})=(?P<value>[^\s\"'&#<>]{10,256})")
_NAME_BEFORE = re.compile(r"(?P<name>[\w-]{1,60})[\"']?\s{0,3}$")
_LONGEST_NAME_BEFORE = 64
_SCHEME = re.compile(r"(?:bearer|basic|token|digest|apikey)\s+", re.IGNORECASE)
_BASIC = re.compile(r"basic\s+[A-Za-z0-9+/]{8,}={0,2}", re.IGNORECASE)
# The longest path that is told: the answer to a batch has room for a thousand of them.
_LONGEST_PATH = 200


class Finding(msgspec.Struct, frozen=True):
    """One value that looks like a credential: its JSON path, and what kind it is."""

    path: str
    kind: str


class AllowedPaths:
    """The places where something that looks like a credential is let through.

    Each is `<table>.<verb>:<path>`, as in `app_state.set:$.value.build_token`: the command, and the path that
    its refusal gave. A `*` stands for anything within one step of either: `*.*:$.items[*].value`.

    Raises:
        ValueError: one of them is not of that form.
    """

    def __init__(self, places: Iterable[str] = ()) -> None:
        self._places = []
        for place in places:
            command, colon, path = place.partition(":")
            if not colon or not path.startswith("$") or command.count(".") != 1:
                raise ValueError(f"{place!r} is not a command and a path, as in app_state.set:$.value.token")
            self._places.append(re.compile(re.escape(place).replace(r"\*", r"[^.:\[\]]*")))

    def require(self, command: str, findings: Iterable[Finding]) -> None:
        """Returns if all of the findings are allowed in that command.

        Raises:
            SecretRejected: one is not.
        """
        for one in findings:
            if not any(place.fullmatch(f"{command}:{one.path}") for place in self._places):
                raise rejected(one)


def rejected(finding: Finding) -> SecretRejected:
    """The refusal for a finding."""
    path = finding.path if len(finding.path) <= _LONGEST_PATH else finding.path[: _LONGEST_PATH - 1] + "…"
    return SecretRejected(
        f"a value looks like a credential ({finding.kind}), and those are not stored",
        hint="refer to it, as in ${env:NAME}; the setting allowed_secret_paths lets a false alarm through",
        path=path,
        kind=finding.kind,
    )


def may_hold_credential(document: bytes) -> bool:
    """Whether a closer look at some JSON is needed; about a microsecond for a small body.

    It is true wherever `credentials_in` would find something, and now and then elsewhere.
    """
    # Read as a text in which each byte is a character: `in` takes five times as long on bytes.
    text = document.lower().replace(b'"key"', b"").decode("latin-1")
    if (
        # Escapes could spell anything.
        "\\u" in text
        or ("@" in text and ("://" in text or "\\/" in text))
        or "token" in text
        or "secret" in text
        or "passw" in text
        or "passphrase" in text
        or "pwd" in text
        or "auth" in text
        or "credential" in text
        or "bearer" in text
        or "eyj" in text
        # "key" in any other place than the name of that field.
        or "key" in text
    ):
        return True
    pieces = document.translate(_PIECES).replace(_UUID, b"").replace(b"-", b"a")
    return pieces.find(_RUN * b"a") >= 0


def credentials_in(document: Any) -> Iterator[Finding]:
    """Every value, and every member's name, of a decoded JSON document that looks like a credential."""
    return _look_at(document, "$", "")


def _look_at(value: Any, path: str, name: str) -> Iterator[Finding]:
    """The findings in a value; `name` is the credential's name that it stands under, empty if none."""
    if isinstance(value, str):
        kind = _kind_of(value, name)
        if kind is not None:
            yield Finding(path, kind)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _look_at(each, f"{path}[{index}]", name)
    elif isinstance(value, dict):
        yield from _look_at_members(value, path, name)


def _look_at_members(value: dict[str, Any], path: str, name: str) -> Iterator[Finding]:
    called = value.get("key", value.get("name"))
    for member, inner in value.items():
        kind = _kind_of(member, "")
        if kind is not None:
            # The name itself is a credential. The path ends before it, so as not to repeat it.
            yield Finding(path, kind)
            continue
        if member == "value" and isinstance(called, str):
            # The name of a pair, as in {"key": "github/token", "value": "…"}.
            own_name = called if is_of_credential(called) else name
        elif is_of_credential(member):
            own_name = member
        else:
            own_name = "" if is_about_credential(member) else name
        yield from _look_at(inner, path + step(member), own_name)


def _kind_of(text: str, name: str) -> str | None:
    if "${env:" in text:
        text = REFERENCE.sub("", text)
    kind = kind_of_shape(text)
    if kind is not None:
        return kind
    if name:
        if is_random(_SCHEME.sub("", text, count=1)) or _BASIC.fullmatch(text):
            return HIGH_ENTROPY
        if is_of_password(name) and is_password(text):
            return PASSWORD
    return HIGH_ENTROPY if _has_assignment(text) else None


def _is_given_away(name: str, value: str) -> bool:
    return (is_of_credential(name) and is_random(value)) or (is_of_password(name) and is_password(value))


def _has_assignment(text: str) -> bool:
    if len(text) < _RUN or not (":" in text or "=" in text):
        return False
    for one in _ASSIGNED.finditer(text):
        before = _NAME_BEFORE.search(text[max(0, one.start() - _LONGEST_NAME_BEFORE) : one.start()])
        if before and _is_given_away(before["name"], one["value"]):
            return True
    return ("?" in text or "#" in text) and any(
        _is_given_away(one["name"], one["value"]) for one in _IN_A_QUERY.finditer(text)
    )

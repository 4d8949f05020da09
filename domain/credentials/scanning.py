"""Finding credentials in JSON documents, and the places where they are allowed.

    raw JSON ── may_hold_credential ──▶ no: that was all
                                    ──▶ perhaps ── credentials_in ──▶ findings ──▶ refused, unless allowed

An event is kept for ever and published to all subscribers: a credential in one cannot be taken back. A
finding has the path and the kind of a credential, never the credential.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from domain.credentials.assignments import has_assignment
from domain.credentials.names import is_about_credential, is_of_credential, is_of_password
from domain.credentials.randomness import is_password, is_random
from domain.credentials.shapes import REFERENCE, kind_of_shape
from domain.credentials.wrappings import RUN, plainly, texts_within
from domain.errors import SecretRejected
from domain.json_values import step

# The kinds of credentials that are found by their names; the others are kinds of shapes.
HIGH_ENTROPY = "high_entropy_value"
PASSWORD = "password"
# The kind of documents that cannot be searched.
UNREADABLE = "unreadable"

_SCHEME = re.compile(r"(?:bearer|basic|token|digest|apikey)\s+", re.IGNORECASE)
_BASIC = re.compile(r"basic\s+[A-Za-z0-9+/]{8,}={0,2}", re.IGNORECASE)
# The most characters of a path in a refusal: the answer to a batch has room for a thousand of them.
_LONGEST_PATH = 200
# How many layers deep texts within texts are searched.
_LAYERS = 3
_JSON = msgspec.json.Decoder()


class Finding(msgspec.Struct, frozen=True):
    """One value that looks like a credential: its JSON path, and what kind it is."""

    path: str
    kind: str


class AllowedPaths:
    """The places where a value that looks like a credential is accepted.

    Each is `<table>.<verb>:<path>`, as in `app_state.set:$.value.build_token`: a command, and the path in
    its refusal. A `*` stands for any text within one step of either: `*.*:$.items[*].value`.

    Raises:
        ValueError: one of them is not of that form.
    """

    def __init__(self, places: Iterable[str] = ()) -> None:
        self._places: list[tuple[str, re.Pattern[str]]] = []
        for place in places:
            command, colon, path = place.partition(":")
            if not colon or not path.startswith("$") or command.count(".") != 1:
                raise ValueError(f"{place!r} is not a command and a path, as in app_state.set:$.value.token")
            self._places.append((place, re.compile(re.escape(place).replace(r"\*", r"[^.:\[\]]*"))))

    def require(self, command: str, findings: Iterable[Finding]) -> None:
        """Returns if all of the findings are allowed in that command.

        Raises:
            SecretRejected: one is not.
        """
        for one in findings:
            if self.place_of(command, one) is None:
                raise rejected(one)

    def place_of(self, command: str, finding: Finding) -> str | None:
        """The place that allows a finding in that command; `None` if none does."""
        said = f"{command}:{finding.path}"
        return next((place for place, pattern in self._places if pattern.fullmatch(said)), None)


def rejected(finding: Finding) -> SecretRejected:
    """The refusal for a finding."""
    path = finding.path if len(finding.path) <= _LONGEST_PATH else finding.path[: _LONGEST_PATH - 1] + "…"
    if finding.path.startswith("$"):
        hint = "refer to it, as in ${env:NAME}; the setting allowed_secret_paths lets a false alarm through"
    else:
        hint = "an id says which, and nothing secret: choose another one"
    return SecretRejected(
        f"a value looks like a credential ({finding.kind}), and those are not stored",
        hint=hint,
        path=path,
        kind=finding.kind,
    )


def kind_of_text(text: str) -> str | None:
    """The kind of credential that a text is or contains, if it has no name, such as an id; `None` if none."""
    return _kind_of(text, "")


def credentials_in(document: Any) -> Iterator[Finding]:
    """Every value, and every member's name, of a decoded JSON document that looks like a credential."""
    return _look_at(document, "$", "", _LAYERS)


def _look_at(value: Any, path: str, name: str, layers: int) -> Iterator[Finding]:
    """The findings in a value. `name` is the name of a credential that it stands under, or empty."""
    if isinstance(value, str):
        kind = _kind_of(value, name, layers)
        if kind is not None:
            yield Finding(path, kind)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _look_at(each, f"{path}[{index}]", name, layers)
    elif isinstance(value, dict):
        yield from _look_at_members(value, path, name, layers)


def _look_at_members(value: dict[str, Any], path: str, name: str, layers: int) -> Iterator[Finding]:
    called = value.get("key", value.get("name"))
    for member, inner in value.items():
        kind = _kind_of(member, "", layers)
        if kind is not None:
            # The name itself is a credential. The path ends before it, so that it is not repeated.
            yield Finding(path, kind)
            continue
        if member == "value" and isinstance(called, str):
            # The name of a pair, as in {"key": "github/token", "value": "…"}.
            own_name = called if is_of_credential(called) else name
        elif is_of_credential(member):
            own_name = member
        else:
            own_name = "" if is_about_credential(member) else name
        yield from _look_at(inner, path + step(member), own_name, layers)


def _kind_of(text: str, name: str, layers: int = _LAYERS) -> str | None:
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
    if has_assignment(text):
        return HIGH_ENTROPY
    return _kind_within(text, layers) if layers and len(text) >= RUN else None


def _kind_within(text: str, layers: int) -> str | None:
    """The kind of a credential that a text holds escaped, as a JSON document, or encoded; `None` if none."""
    if ("\\" in text or "%" in text) and (plain := plainly(text)) != text:
        kind = _kind_of(plain, "", layers - 1)
        if kind is not None:
            return kind
    if text.lstrip()[:1] in ("{", "[") and (kind := _kind_in_json(text, layers)) is not None:
        return kind
    kinds = (_kind_of(inner, "", layers - 1) for inner in texts_within(text))
    return next(filter(None, kinds), None)


def _kind_in_json(text: str, layers: int) -> str | None:
    try:
        document = _JSON.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    found = next(_look_at(document, "$", "", layers - 1), None)
    return None if found is None else found.kind

"""The input of a refused form, kept to be shown again: `kept`, `without_credentials`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bus.contract import codec
from domain.credentials.names import is_of_credential, is_of_password
from domain.credentials.scanning import credentials_in
from domain.errors import Refusal, SecretRejected
from domain.json_values import step

# Longer input is not kept: it would stay in memory for a session that may never come back.
MAXIMUM_KEPT_CHARACTERS = 128 * 1024
# Not JSON: if the form is sent again, a document that was left out is refused, not taken for an empty one.
LEFT_OUT = "left out, since it holds a credential"
_REFERENCE = '"${env:NAME}"'
_FIRST_STEP = re.compile(r"\$\.(\w+)")
# A string, with the colon if it is a member's name, or a bracket. An unterminated string takes all the rest.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?(\s*:)?|[\[\]{}]', re.DOTALL)


def kept(fields: Mapping[str, str], without: frozenset[str], refusal: Refusal) -> dict[str, str]:
    """The fields of a form that are shown again, without any value that looks like a credential."""
    if sum(map(len, fields.values())) > MAXIMUM_KEPT_CHARACTERS:
        return {}
    shown = {name: without_credentials(text) for name, text in fields.items() if name not in without}
    if isinstance(refusal, SecretRejected):
        # The value alone looks harmless, but not with another field, such as its key: it is left out whole.
        at = _FIRST_STEP.match(str(refusal.details["path"]))
        if at is not None and (text := shown.get(at[1])) is not None and text == fields[at[1]]:
            shown[at[1]] = LEFT_OUT
    return shown


def without_credentials(text: str) -> str:
    """A text as it was typed, with a reference in place of each value that looks like a credential.

    If the values cannot be replaced, `LEFT_OUT` stands for the whole text.
    """
    found = {one.path for one in codec.findings_in(text.encode())}
    if not found:
        return LEFT_OUT if _holds_any(text) else text
    try:
        paths = list(_paths_of_strings(msgspec.json.decode(text), "$"))
    except (msgspec.DecodeError, RecursionError):
        return LEFT_OUT
    places = [place for place in _TOKEN.finditer(text) if place[0][0] == '"' and place[1] is None]
    if len(places) != len(paths):
        # Decoding drops one of two members with the same name, so its value was not scanned.
        return LEFT_OUT
    changed, end = [], 0
    for place, path in zip(places, paths, strict=True):
        if path in found:
            changed += [text[end : place.start()], _REFERENCE]
            end = place.end()
    whole = "".join([*changed, text[end:]])
    return LEFT_OUT if codec.findings_in(whole.encode()) or _holds_any(whole) else whole


def _holds_any(text: str) -> bool:
    """Whether a text, JSON or not, holds a credential, also in a member that another of its name hides."""
    try:
        return any(credentials_in(_as_typed(text)))
    except RecursionError:
        return True


def _as_typed(text: str) -> list[Any]:
    """The strings of a text in their order, in a list for each bracket; each member is a dict of its own."""
    open_lists: list[list[Any]] = [[]]
    # The member whose value is the next token.
    member: dict[str, Any] | None = None
    for token in _TOKEN.finditer(text):
        if token[0] in "]}":
            if len(open_lists) > 1:
                _pair(open_lists.pop())
            member = None
        elif token[1] is not None:
            member = {_plain(token[0].rstrip(": \t\r\n")): None}
            open_lists[-1].append(member)
        else:
            value: Any = [] if token[0] in "[{" else _plain(token[0])
            if member is None:
                open_lists[-1].append(value)
            else:
                member |= dict.fromkeys(member, value)
            if isinstance(value, list):
                open_lists.append(value)
            member = None
    for one in open_lists:
        _pair(one)
    return open_lists[0]


def _pair(members: list[Any]) -> None:
    """Puts an object's key or name beside its member `value`, if it is the name of a credential.

    In {"key": "github/token", "value": "…"}, only both together tell that the value is a credential.
    """
    named = [one for one in members if isinstance(one, dict)]
    called = [
        text for name in ("key", "name") for one in named if is_of_credential(text := str(one.get(name)))
    ]
    if called:
        # A password's name is preferred: a password counts as a credential even if it does not look random.
        name = max(called, key=is_of_password)
        members += [{"key": name, **one} for one in named if "value" in one]


def _plain(written: str) -> str:
    try:
        return msgspec.json.decode(written, type=str)
    except msgspec.DecodeError:
        return written.strip('"')


def _paths_of_strings(value: Any, path: str) -> Iterator[str]:
    """The paths of a document's strings, in their order."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _paths_of_strings(each, f"{path}[{index}]")
    elif isinstance(value, dict):
        for member, inner in value.items():
            yield from _paths_of_strings(inner, path + step(member))

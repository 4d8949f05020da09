"""What was typed into a form that was refused, so that it is there again: `kept`, `without_credentials`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bus.contract import codec
from domain.credentials.names import is_of_credential, is_of_password
from domain.credentials.scanning import credentials_in
from domain.errors import Refusal, SecretRejected
from domain.json_values import step

# More would be held in memory for a session that may never come back.
MAXIMUM_KEPT_CHARACTERS = 128 * 1024
# No JSON: a document that is left out is not taken for an empty one when the form is sent again.
LEFT_OUT = "left out, since it holds a credential"
_REFERENCE = '"${env:NAME}"'
_FIRST_STEP = re.compile(r"\$\.(\w+)")
# A string, with the colon of a member's name, or a bracket. A string that does not end has all the rest.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?(\s*:)?|[\[\]{}]', re.DOTALL)


def kept(fields: Mapping[str, str], without: frozenset[str], refusal: Refusal) -> dict[str, str]:
    """The fields of a form that are shown again: nothing that looks like a credential is."""
    if sum(map(len, fields.values())) > MAXIMUM_KEPT_CHARACTERS:
        return {}
    shown = {name: without_credentials(text) for name, text in fields.items() if name not in without}
    if isinstance(refusal, SecretRejected):
        # What else the form said may have told it: the key that the value is for, say.
        at = _FIRST_STEP.match(str(refusal.details["path"]))
        if at is not None and (text := shown.get(at[1])) is not None and text == fields[at[1]]:
            shown[at[1]] = LEFT_OUT
    return shown


def without_credentials(text: str) -> str:
    """A text with a reference in place of each value that looks like a credential, and else as it was typed.

    Where that cannot be, the text says that it was left out.
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
        # Of two members with one name, decoding drops one, which nobody looked at.
        return LEFT_OUT
    changed, end = [], 0
    for place, path in zip(places, paths, strict=True):
        if path in found:
            changed += [text[end : place.start()], _REFERENCE]
            end = place.end()
    whole = "".join([*changed, text[end:]])
    return LEFT_OUT if codec.findings_in(whole.encode()) or _holds_any(whole) else whole


def _holds_any(text: str) -> bool:
    """Whether a credential is in what may be JSON or not, also where another member of its name hides it."""
    try:
        return any(credentials_in(_as_typed(text)))
    except RecursionError:
        return True


def _as_typed(text: str) -> list[Any]:
    """The strings of a text as they stand there, in lists for its brackets; each member is one by itself."""
    open_lists: list[list[Any]] = [[]]
    # The member whose value comes next.
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
    """Puts a name beside what is called a `value`, as in {"key": "github/token", "value": "…"}."""
    named = [one for one in members if isinstance(one, dict)]
    called = [
        text for name in ("key", "name") for one in named if is_of_credential(text := str(one.get(name)))
    ]
    if called:
        # A password is one that need not look random.
        name = max(called, key=is_of_password)
        members += [{"key": name, **one} for one in named if "value" in one]


def _plain(written: str) -> str:
    try:
        return msgspec.json.decode(written, type=str)
    except msgspec.DecodeError:
        return written.strip('"')


def _paths_of_strings(value: Any, path: str) -> Iterator[str]:
    """Where the strings of a document are, in its order."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _paths_of_strings(each, f"{path}[{index}]")
    elif isinstance(value, dict):
        for member, inner in value.items():
            yield from _paths_of_strings(inner, path + step(member))

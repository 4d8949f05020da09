"""What was typed into a form that was refused, so that it is there again: `kept`, `without_credentials`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bus.contract import codec
from domain.json_values import step

# More would be held in memory for a session that may never come back.
MAXIMUM_KEPT_CHARACTERS = 128 * 1024
# No JSON: a document that is left out is not taken for an empty one when the form is sent again.
LEFT_OUT = "left out, since it holds a credential"
_REFERENCE = '"${env:NAME}"'
# A string of a JSON document, with the colon of a member's name.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?')


def kept(fields: Mapping[str, str], without: frozenset[str]) -> dict[str, str]:
    """The fields of a form that are shown again: nothing that looks like a credential is."""
    if sum(map(len, fields.values())) > MAXIMUM_KEPT_CHARACTERS:
        return {}
    return {name: without_credentials(text) for name, text in fields.items() if name not in without}


def without_credentials(text: str) -> str:
    """A text with a reference in place of each value that looks like a credential, and else as it was typed.

    Where that cannot be, the text says that it was left out.
    """
    found = {one.path for one in codec.findings_in(text.encode())}
    if not found:
        return text
    try:
        paths = list(_paths_of_strings(msgspec.json.decode(text), "$"))
    except (msgspec.DecodeError, RecursionError):
        return LEFT_OUT
    places = [place for place in _STRING.finditer(text) if place[1] is None]
    if len(places) != len(paths):
        # Of two members with one name, decoding drops one, which nobody looked at.
        return LEFT_OUT
    changed, end = [], 0
    for place, path in zip(places, paths, strict=True):
        if path in found:
            changed += [text[end : place.start()], _REFERENCE]
            end = place.end()
    whole = "".join([*changed, text[end:]])
    return LEFT_OUT if codec.findings_in(whole.encode()) else whole


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

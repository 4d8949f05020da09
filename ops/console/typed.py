"""What was typed into a form that was refused, so that it is there again: `kept`, `without_credentials`."""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from bus.contract import codec

# More would be held in memory for a session that may never come back.
MAXIMUM_KEPT_CHARACTERS = 128 * 1024
_REFERENCE = "${env:NAME}"
_STEP = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]|\[(\"(?:[^\"\\]|\\.)*\")\]")


def kept(fields: Mapping[str, str], without: frozenset[str]) -> dict[str, str]:
    """The fields of a form that are shown again: nothing that looks like a credential is."""
    if sum(map(len, fields.values())) > MAXIMUM_KEPT_CHARACTERS:
        return {}
    return {name: without_credentials(text) for name, text in fields.items() if name not in without}


def without_credentials(text: str) -> str:
    """A text with a reference instead of each value that looks like a credential; "" where that cannot be."""
    found = codec.findings_in(text.encode())
    if not found:
        return text
    try:
        document = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return ""
    for one in found:
        if not _referred(document, one.path):
            return ""
    changed = json.dumps(document, indent=2, ensure_ascii=False)
    return "" if codec.findings_in(changed.encode()) else changed


def _referred(document: Any, path: str) -> bool:
    """Whether the value at a path was a text, which is a reference now."""
    steps = [
        name or (int(index) if index else json.loads(quoted)) for name, index, quoted in _STEP.findall(path)
    ]
    try:
        for step in steps[:-1]:
            document = document[step]
        if not steps or not isinstance(document[steps[-1]], str):
            return False
        document[steps[-1]] = _REFERENCE
    except (KeyError, IndexError, TypeError):
        return False
    return True

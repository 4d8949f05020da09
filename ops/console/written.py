"""Values as users type them into fields of forms: JSON, times, numbers.

Each function raises `Invalid` if the text is no such value; `details.path` names the field.
"""

import re
from typing import Any

import msgspec

from bus.contract import codec
from domain.errors import Invalid
from ops.console.rendering import milliseconds

# The place in msgspec's message at which it stopped reading.
_BYTE = re.compile(r"\(byte (\d+)\)")
# A number of JSON with a bounded length; it goes into the command as it was typed.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,308})(\.[0-9]{1,308})?([eE][-+]?[0-9]{1,3})?")


def json_written(written: str, problem: str, *, path: str, kind: Any = Any) -> msgspec.Raw:
    """JSON of a kind, byte for byte as it was typed, so that no number is rounded.

    The message of a refusal says at which line and column the JSON is wrong.
    """
    encoded = written.encode()
    try:
        codec.decode(kind, encoded)
    except Invalid as refusal:
        said = _BYTE.sub(lambda found: _place(encoded[: int(found[1])]), refusal.message)
        raise Invalid(f"{problem}: {said}", hint=refusal.hint, path=path) from None
    return msgspec.Raw(encoded)


def number_written(written: str, problem: str, *, path: str) -> msgspec.Raw:
    """A number as it was typed."""
    if _NUMBER.fullmatch(written) is None:
        raise Invalid(problem, path=path)
    return msgspec.Raw(written.encode())


def time_written(written: str, *, path: str) -> int:
    """A typed time, in milliseconds since the epoch."""
    try:
        return milliseconds(written)
    except ValueError:
        raise Invalid("a time is written like 2026-11-26T08:00:00, in UTC", path=path) from None


def _place(before: bytes) -> str:
    """The line and column at which the bytes before a place end, as editors count them."""
    *lines, last = before.decode("utf-8", "ignore").split("\n")
    return f"in line {len(lines) + 1}, column {len(last) + 1}"

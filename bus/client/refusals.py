"""The other side of `codec.error_body`: an error's JSON as the exception that it was."""

from collections.abc import Iterator
from typing import Any

import msgspec

from bus.documents import decoded
from domain.errors import Refusal


class UnknownRefusal(Refusal):
    """A refusal with a code that this program does not know, of a newer service; `details.code` has it."""

    code = "unknown"
    number = 0


class _Error(msgspec.Struct):
    code: str
    message: str
    hint: str = ""
    details: dict[str, Any] = {}


def _below(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


_KINDS = {kind.code: kind for kind in _below(Refusal)}
_decode_body = msgspec.json.Decoder(dict[str, Any]).decode


def read_refusal(body: bytes) -> Refusal:
    """The refusal that an error's body tells of."""
    try:
        refusal = refusal_in(decoded(_decode_body, body))
    except msgspec.MsgspecError:
        refusal = None
    return refusal or UnknownRefusal("an error whose body cannot be read", code="")


def refusal_in(outcome: dict[str, Any]) -> Refusal | None:
    """The refusal that one outcome of a batch is, if it is one."""
    if "error" not in outcome:
        return None
    error = msgspec.convert(outcome["error"], _Error)
    kind = _KINDS.get(error.code)
    if kind is None:
        return UnknownRefusal(error.message, hint=error.hint, **{**error.details, "code": error.code})
    # The subclass's own constructor is passed by: it may take a part of the details by another name.
    refusal = kind.__new__(kind)
    Refusal.__init__(refusal, error.message, hint=error.hint)
    refusal.details = error.details
    return refusal

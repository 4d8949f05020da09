"""JSON in files that another program may have written: `decode_document`; `decoder_of` for many of a kind."""

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, overload

import msgspec

from hyperpage_client.documents import decoded

T = TypeVar("T")
# Limited to numbers that SQLite can hold.
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_HASH = "^[0-9a-f]{64}$"
Hash = Annotated[str, msgspec.Meta(pattern=_HASH)]
# A time in milliseconds since the epoch, up to the year 9999.
Moment = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]


@overload
def decode_document(content: bytes) -> Any: ...
@overload
def decode_document(content: bytes | str, kind: type[T]) -> T: ...
def decode_document(content: bytes | str, kind: Any = Any) -> Any:
    """A JSON document as an object of that kind.

    Raises:
        msgspec.DecodeError: it is none, for any reason: its encoding, its syntax, its members, its depth.
    """
    return decoded(lambda one: msgspec.json.decode(one, type=kind), content)


def is_hash(text: str) -> bool:
    """Whether a text is a SHA-256 in hexadecimal."""
    return re.fullmatch(_HASH, text) is not None


def decoder_of(kind: Any) -> Callable[[bytes], Any]:
    """A function that decodes as `decode_document` does, for many documents of a kind."""
    decode = msgspec.json.Decoder(kind).decode
    return lambda content: decoded(decode, content)

"""JSON in files that somebody else may have written: `decode_document`."""

from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")


@overload
def decode_document(content: bytes) -> Any: ...
@overload
def decode_document(content: bytes | str, kind: type[T]) -> T: ...
def decode_document(content: bytes | str, kind: Any = Any) -> Any:
    """What a document says, as an object of that kind.

    Raises:
        msgspec.DecodeError: it is none, whatever is wrong with it: how it is spelled, or how deep it goes.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise msgspec.DecodeError("it is not UTF-8") from None

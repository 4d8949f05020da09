"""JSON: `encode` writes it, and `decoded` reads it where a peer or a damaged disk may have made it wrong."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# Compact JSON of a value.
encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


def decoded(decode: Callable[[bytes | str], T], content: bytes | str) -> T:
    """The value of `content`, read by `decode`, a decoder of msgspec.

    Raises:
        msgspec.DecodeError: the content is wrong, in any way: its bytes, its JSON, its types, or nesting that
            is too deep.
    """
    try:
        return decode(content)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise msgspec.DecodeError("it is not UTF-8") from None

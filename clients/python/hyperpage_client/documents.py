"""JSON as it is sent, `encode`; and as somebody else may have written it, or a disk damaged it, `decoded`."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# Compact JSON of a value.
encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


def decoded(decode: Callable[[bytes | str], T], content: bytes | str) -> T:
    """What `decode`, of msgspec, makes of it.

    Raises:
        msgspec.DecodeError: it is not what it should be, whatever is wrong with it: its bytes, how it is
            spelled, or how deep it goes.
    """
    try:
        return decode(content)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise msgspec.DecodeError("it is not UTF-8") from None

"""Time-ordered ids (UUID version 7, RFC 9562 section 5.7)."""

import os
import time
from collections.abc import Iterator

# By a random hexadecimal digit: the digit with the two bits of the variant, and two of the random bits.
_VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
_LAST_DIGITS = 12


def new_id() -> str:
    """A fresh UUIDv7 as text: later ones sort behind earlier ones, so that an index grows at one end."""
    return _new_id_at(time.time_ns() // 1_000_000)


def new_ids(time_ms: int) -> Iterator[str]:
    """Fresh UUIDv7s of one moment, each behind the one before it.

    They count on from a random start (section 6.2, method 2), which costs far less than random bits for each.
    """
    start = _new_id_at(time_ms)
    beginning = start[:-_LAST_DIGITS]
    # The first bit stays free at the start, so that counting on never overflows.
    number = int(start[-_LAST_DIGITS:], 16) >> 1
    while True:
        yield f"{beginning}{number:012x}"
        number += 1


def _new_id_at(time_ms: int) -> str:
    digits = (time_ms.to_bytes(6, "big") + os.urandom(10)).hex()
    begin, rest = f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}", f"{digits[17:20]}-{digits[20:]}"
    return f"{begin}-{_VARIANTS[digits[16]]}{rest}"

"""Time-ordered ids (UUID version 7, RFC 9562 section 5.7)."""

import os
import time
from collections.abc import Iterator

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62
# Of the 62 low bits, the first stays free at the start of a run, so that counting on never overflows.
_LOW_BITS = 61


def new_id() -> str:
    """A fresh UUIDv7 as text: later ones sort behind earlier ones, so that an index grows at one end."""
    return next(new_ids(time.time_ns() // 1_000_000))


def new_ids(time_ms: int) -> Iterator[str]:
    """Fresh UUIDv7s of one moment, each behind the one before it.

    They count on from a random start (section 6.2, method 2), which costs far less than chance for each.
    """
    noise = int.from_bytes(os.urandom(10), "big")
    high = time_ms << 80 | _VERSION | (noise >> _LOW_BITS & 0xFFF) << 64 | _VARIANT
    counter = noise & (1 << _LOW_BITS) - 1
    while True:
        digits = f"{high | counter:032x}"
        yield f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        counter += 1

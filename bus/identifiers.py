"""Time-ordered ids (UUID version 7, RFC 9562 section 5.7)."""

import os
import time
from collections.abc import Iterator

_VERSION = 0x7 << 12
_VARIANT = 0x2 << 62
# The two bits of the variant, and two more, for each hexadecimal digit.
_VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
# The first of the 62 low bits stays free at the start of a run, so that counting on never overflows.
_LOW_BITS = 61


def new_id() -> str:
    """A fresh UUIDv7 as text: later ones sort behind earlier ones, so that an index grows at one end."""
    moment = f"{time.time_ns() // 1_000_000:012x}"
    noise = os.urandom(10).hex()
    return f"{moment[:8]}-{moment[8:]}-7{noise[:3]}-{_VARIANTS[noise[3]]}{noise[4:7]}-{noise[7:19]}"


def new_ids(time_ms: int) -> Iterator[str]:
    """Fresh UUIDv7s of one moment, each behind the one before it.

    They count on from a random start (section 6.2, method 2), which costs far less than chance for each.
    """
    noise = int.from_bytes(os.urandom(10), "big")
    high = f"{time_ms << 16 | _VERSION | noise >> _LOW_BITS & 0xFFF:016x}"
    beginning = f"{high[:8]}-{high[8:12]}-{high[12:]}"
    low = _VARIANT | noise & (1 << _LOW_BITS) - 1
    while True:
        digits = f"{low:016x}"
        yield f"{beginning}-{digits[:4]}-{digits[4:]}"
        low += 1

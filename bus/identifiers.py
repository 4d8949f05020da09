"""Time-ordered ids (UUID version 7, RFC 9562 section 5.7)."""

import os
import time


def new_id() -> str:
    """A fresh UUIDv7 as text: later ones sort behind earlier ones, so that an index grows at one end."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

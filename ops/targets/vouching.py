"""Small files of JSON that vouch for themselves: one of their members is the SHA-256 of all the others."""

import hashlib
from typing import Any

import msgspec

MEMBER = "metadata_checksum"


def encode_vouched(content: msgspec.Struct) -> bytes:
    """The bytes of such a file; `content` has a member `metadata_checksum`, which is filled in."""
    members: dict[str, Any] = msgspec.to_builtins(content)
    return msgspec.json.format(msgspec.json.encode({**members, MEMBER: checksum_of(members)})) + b"\n"


def is_whole(content: bytes) -> bool:
    """Whether the checksum in a file of JSON is that of its other members, whichever they are.

    Members that another version adds do not make the file look damaged.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is no JSON.
    """
    members = msgspec.json.decode(content, type=dict[str, Any])
    # Without its last byte, it would still be JSON.
    return members.get(MEMBER) == checksum_of(members) and content.endswith(b"}\n")


def checksum_of(members: dict[str, Any]) -> str:
    """SHA-256 of all members but the checksum, in hexadecimal."""
    others = {name: value for name, value in members.items() if name != MEMBER}
    return hashlib.sha256(msgspec.json.encode(others, order="sorted")).hexdigest()

"""Small JSON files that vouch for themselves: one of their members is the SHA-256 of all the others.

A signed file has one more member, its last one. The signature is of the exact bytes of the file without that
member. These bytes are cut out, and checked against the signature, before they are parsed as JSON.
"""

import hashlib
import re
from typing import Any

import msgspec

from ops.targets.documents import decode_document
from ops.targets.signing import FORGED, Kind, Signature, Signing, SigningKey, decoded, encoded

MEMBER = "metadata_checksum"

_END = b"\n}\n"
_SIGNATURE = re.compile(rb',\n  "signature": "ed25519:([A-Za-z0-9_-]{43}) ([A-Za-z0-9_-]{86})"\n}\n\Z')


def encode_vouched(content: msgspec.Struct) -> bytes:
    """The bytes of such a file. `content` has a member `metadata_checksum`, which is filled in."""
    members: dict[str, Any] = msgspec.to_builtins(content)
    return msgspec.json.format(msgspec.json.encode({**members, MEMBER: checksum_of(members)})) + b"\n"


def add_signature(content: bytes, signer: SigningKey | None, kind: Kind, name: str) -> bytes:
    """The bytes of such a file, signed; unchanged without a `signer`."""
    if signer is None:
        return content
    text = f"{signer.public} {encoded(signer.sign(kind, name, content))}"
    return content.removesuffix(_END) + f',\n  "signature": "{text}"'.encode() + _END


def split_signature(content: bytes, signing: Signing, kind: Kind, name: str) -> tuple[bytes, Signature]:
    """The bytes of such a file without its signature, and the result of checking the signature.

    A member `signature` of any other form stays in the bytes, as an unknown member.
    """
    match = _SIGNATURE.search(content)
    if match is None:
        return content, signing.unsigned()
    body = content[: match.start()] + _END
    key, signature = (decoded(one.decode()) for one in match.groups())
    if [encoded(key), encoded(signature)] != [one.decode() for one in match.groups()]:
        return body, FORGED
    return body, signing.check(kind, name, body, key, signature)


def is_whole(content: bytes) -> bool:
    """Whether the checksum in a JSON file is the checksum of all its other members.

    Unknown members are included, so those that another version adds do not make the file look damaged.

    Raises:
        msgspec.DecodeError: it is no JSON.
    """
    members = decode_document(content, dict[str, Any])
    # A file that lost its last byte would still be JSON.
    return members.get(MEMBER) == checksum_of(members) and content.endswith(b"}\n")


def checksum_of(members: dict[str, Any]) -> str:
    """The SHA-256 of all members but the checksum, in hexadecimal."""
    others = {name: value for name, value in members.items() if name != MEMBER}
    return hashlib.sha256(msgspec.json.encode(others, order="sorted")).hexdigest()

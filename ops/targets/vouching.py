"""Small files of JSON that vouch for themselves: one of their members is the SHA-256 of all the others.

Signed, they have one more member, the last one. What is signed are the exact bytes of the file as it is
without that: they are cut out and compared with the signature before they are read as JSON.
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
    """The bytes of such a file; `content` has a member `metadata_checksum`, which is filled in."""
    members: dict[str, Any] = msgspec.to_builtins(content)
    return msgspec.json.format(msgspec.json.encode({**members, MEMBER: checksum_of(members)})) + b"\n"


def add_signature(content: bytes, signer: SigningKey | None, kind: Kind, name: str) -> bytes:
    """The bytes of such a file, signed; as they are where nothing signs."""
    if signer is None:
        return content
    text = f"{signer.public} {encoded(signer.sign(kind, name, content))}"
    return content.removesuffix(_END) + f',\n  "signature": "{text}"'.encode() + _END


def split_signature(content: bytes, signing: Signing, kind: Kind, name: str) -> tuple[bytes, Signature]:
    """The bytes of such a file without its signature, and whose they are.

    Anything else that is called a signature is left where it is: a member that nobody knows.
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
    """Whether the checksum in a file of JSON is that of its other members, whichever they are.

    Members that another version adds do not make the file look damaged.

    Raises:
        msgspec.DecodeError: it is no JSON.
    """
    members = decode_document(content, dict[str, Any])
    # Without its last byte, it would still be JSON.
    return members.get(MEMBER) == checksum_of(members) and content.endswith(b"}\n")


def checksum_of(members: dict[str, Any]) -> str:
    """SHA-256 of all members but the checksum, in hexadecimal."""
    others = {name: value for name, value in members.items() if name != MEMBER}
    return hashlib.sha256(msgspec.json.encode(others, order="sorted")).hexdigest()

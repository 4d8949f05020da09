"""NKeys: Ed25519 keys in the form of NATS, which prove which user connects, without sending a secret.

https://github.com/nats-io/nkeys. A seed is the private half. The package of the makers of NATS comes as
source alone, and installing this program must not build anything, so PyNaCl is used instead.
"""

import base64

from nacl.signing import SigningKey

# The bytes in front of a key, which make its first letters: U, and SU.
_USER = bytes((0xA0,))
_SEED_OF_USER = bytes((0x95, 0))
_SEED_CHARACTERS = 58


class SeedError(ValueError):
    """A text is no seed of a user's NKey; the message never repeats the text."""


class NKey:
    """A user's key, by its seed.

    Raises:
        SeedError: the text is no seed of a user's key.
    """

    def __init__(self, seed: str) -> None:
        seed = seed.strip()
        try:
            raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
        except ValueError:
            raw = b""
        content, checksum = raw[:-2], raw[-2:]
        is_whole = len(seed) == _SEED_CHARACTERS and _checksum(content) == checksum
        if not is_whole or not content.startswith(_SEED_OF_USER):
            raise SeedError("this is no seed of a user's NKey: 58 letters and digits that begin with SU")
        self._key = SigningKey(content[len(_SEED_OF_USER) :])
        self.public = _encoded(_USER + bytes(self._key.verify_key))

    def sign(self, nonce: str) -> bytes:
        """The signature of a nats-server's challenge, as it is sent."""
        return base64.b64encode(self._key.sign(nonce.encode()).signature)


def new_seed() -> str:
    """The seed of a new key, made of random bits."""
    return _encoded(_SEED_OF_USER + bytes(SigningKey.generate()))


def _encoded(content: bytes) -> str:
    return base64.b32encode(content + _checksum(content)).decode().rstrip("=")


def _checksum(content: bytes) -> bytes:
    """CRC-16 with the polynomial 0x1021 (XMODEM), the less significant byte first."""
    checksum = 0
    for byte in content:
        checksum ^= byte << 8
        for _ in range(8):
            checksum = (checksum << 1) ^ (0x1021 if checksum & 0x8000 else 0)
        checksum &= 0xFFFF
    return checksum.to_bytes(2, "little")

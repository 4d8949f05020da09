"""Signatures of backups and segments: Ed25519, with a key of the store, checked before the bytes are parsed.

A checksum shows damage. A signature shows which key made the file, and cannot be forged by another user who
can write to its folder. The signed bytes are a line with the kind and the name of the file, and then the
bytes that the kind has; so a signature is valid for no other name, and for no other kind of file.
https://datatracker.ietf.org/doc/html/rfc8032
"""

import os
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from bus.kept_files import sync_folder
from ops.targets.errors import BackupError
from ops.targets.regular_files import read_regular

KEY_BYTES = 32
SIGNING_KEY_FILE = "signing-key.txt"
MAXIMUM_TRUSTED = 100
# The number of characters that are shown of a public key where there is little room.
SHORT_KEY = len("ed25519:") + 6
MAXIMUM_KEY_FILE_BYTES = 4096

Kind = Literal["backup", "segment", "segment metadata"]
State = Literal["signed", "unsigned", "forged"]

_CONTEXT = b"hyperpage-signature-1 "
_PUBLIC = re.compile(r"ed25519:([A-Za-z0-9_-]{43})")
_SECRET = re.compile(r"HYPERPAGE-SIGNING-KEY-1:([A-Za-z0-9_-]{43})")


class Signature(msgspec.Struct, frozen=True):
    """The result of checking a signature; `str` of it is the result in words.

    `is_refused`: the file must not be used. A forged file is always refused; an unsigned one, or one that an
    untrusted key has signed, if trusted signatures are required.
    """

    state: State = "unsigned"
    key: str | None = None
    """The public key with which it was signed."""
    is_trusted: bool = False
    is_refused: bool = False

    def __str__(self) -> str:
        return self._in_words(self.key or "")

    def short(self) -> str:
        """The result in words, with only the beginning of the key."""
        return self._in_words(f"{(self.key or '')[:SHORT_KEY]}…")

    def _in_words(self, key: str) -> str:
        if self.state != "signed":
            return self.state
        return f"signed by {key}{'' if self.is_trusted else ' (not a key you trust)'}"


class SigningKey:
    """A secret key; `public` is its public key, by which its signatures are recognised."""

    def __init__(self, seed: bytes) -> None:
        from nacl import signing

        self._key = signing.SigningKey(seed)
        self.public_bytes = bytes(self._key.verify_key)
        self.public = public_text(self.public_bytes)
        self.trusted = Signature("signed", self.public, is_trusted=True)

    def sign(self, kind: Kind, name: str, content: bytes) -> bytes:
        """The 64 bytes of a signature."""
        return self._key.sign(_signed(kind, name, content)).signature


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """The key that signs, and the keys whose signatures are trusted.

    `key_file` has the store's own secret key, which is trusted besides the `trusted_keys`; without a
    `key_file`, nothing is signed. `is_required`: a file that is not signed with one of these keys is refused.
    """

    key_file: Path | None = None
    trusted_keys: tuple[str, ...] = ()
    is_required: bool = False

    @property
    def own_key(self) -> SigningKey | None:
        """The store's own key; `None` if there is none yet.

        Raises:
            BackupError: its file has no such key.
            OSError: its file cannot be read.
        """
        if self.key_file is None:
            return None
        try:
            # Checked each time: the key may be replaced while the service runs.
            status = self.key_file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _read_key(self.key_file, status.st_mtime_ns, status.st_ino)

    def signer(self) -> SigningKey | None:
        """The store's own key, made if there is none yet; `None` if nothing is to be signed.

        Raises:
            BackupError: its file has no such key.
            OSError: its file cannot be read or written.
        """
        if self.key_file is not None and self.own_key is None:
            make_key(self.key_file)
        return self.own_key

    def check(self, kind: Kind, name: str, content: bytes, key: bytes, signature: bytes) -> Signature:
        """The result of checking the signature of a content."""
        from nacl.exceptions import BadSignatureError
        from nacl.signing import VerifyKey

        try:
            VerifyKey(key).verify(_signed(kind, name, content), signature)
        except (BadSignatureError, ValueError):
            return FORGED
        public = public_text(key)
        own = self.own_key
        is_trusted = public in self.trusted_keys or (own is not None and own.public == public)
        return Signature("signed", public, is_trusted, self.is_required and not is_trusted)

    def unsigned(self) -> Signature:
        """The result for a file without a signature."""
        return Signature("unsigned", is_refused=self.is_required)


# No key is trusted, and no signature is required; forged files are found all the same.
ANYBODYS = Signing()
FORGED = Signature("forged", is_refused=True)


def require_accepted(name: str, signature: Signature) -> None:
    """Returns if a file may be used, as far as its signature tells.

    Raises:
        BackupError: its signature is refused.
    """
    if not signature.is_refused:
        return
    if signature.state == "forged":
        raise BackupError(
            "forged",
            f"{name} is forged: its signature is not of this content under this name",
            "somebody wrote it who has not the key; use another one, and look who can write there",
        )
    if signature.state == "unsigned":
        raise BackupError(
            "unsigned",
            f"{name} is unsigned, and `require_signed` refuses that",
            "what was written before there was a key is unsigned, too; `require_signed = false` lets it pass",
        )
    raise BackupError(
        "untrusted",
        f"{name} is {signature}, and `require_signed` refuses that",
        "if it is a key of yours, add it to `trusted_keys`",
    )


def signing_with(key_file: Path, trusted_keys: tuple[str, ...], *, is_required: bool) -> Signing:
    """The key that signs and the keys that are trusted, checked as an operator wrote them.

    Raises:
        ValueError: one is no public key; the message does not repeat it, since it may be a secret one.
    """
    if len(trusted_keys) > MAXIMUM_TRUSTED:
        raise ValueError(f"{len(trusted_keys)} public keys are more than {MAXIMUM_TRUSTED}")
    for number, key in enumerate(trusted_keys, 1):
        match = _PUBLIC.fullmatch(key)
        if match is None or public_text(decoded(match[1])) != key:
            raise ValueError(f"number {number} is no public signing key (ed25519:…)")
    return Signing(key_file=key_file, trusted_keys=trusted_keys, is_required=is_required)


def make_key(file: Path, *, replace: bool = False) -> None:
    """Makes a secret key in a file that its owner alone can read; on disk when this returns.

    An existing file stays, unless `replace` is set.

    Raises:
        OSError: the file cannot be written.
    """
    seed = secrets.token_bytes(KEY_BYTES)
    public, secret = SigningKey(seed).public, f"HYPERPAGE-SIGNING-KEY-1:{encoded(seed)}"
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(f"# signs backups and archive; public key: {public}\n{secret}\n")
            opened.flush()
            os.fsync(opened.fileno())
        if replace:
            temporary.replace(file)
        else:
            try:
                # Unlike a rename, this fails if another process has just made the file.
                os.link(temporary, file)
            except FileExistsError:
                return
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(file.parent)


def public_text(key: bytes) -> str:
    """A public key in its written form, `ed25519:…`."""
    return f"ed25519:{encoded(key)}"


def encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signed(kind: Kind, name: str, content: bytes) -> bytes:
    # In JSON, no character of a name can be taken for the end of the name.
    return _CONTEXT + msgspec.json.encode((kind, name)) + b"\n" + content


@lru_cache(maxsize=8)
def _read_key(file: Path, modified_ns: int, inode: int) -> SigningKey:
    content = read_regular(file, MAXIMUM_KEY_FILE_BYTES).decode(errors="replace")
    lines = [line.strip() for line in content.splitlines()]
    found = [match[1] for line in lines if (match := _SECRET.fullmatch(line))]
    if len(found) != 1:
        raise BackupError(
            "no_signing_key",
            f"{file} has no HYPERPAGE-SIGNING-KEY-1:…",
            "put the file back as it was; moved away, a new key is made, and its public half is another one",
        )
    return SigningKey(decoded(found[0]))

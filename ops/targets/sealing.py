"""The forms of kept files: compressed with zstd, encrypted with age to public keys, both, or plain.

Sealing needs the public keys alone, so the service never holds a secret key. A sealed file is opened into a
temporary one, which counts only once all of it was checked: age notices a change only when it reaches it, and
has written everything before it by then.
https://age-encryption.org/v1
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast

import msgspec
import zstandard

from bus.kept_files import write_new_private
from ops.targets.regular_files import CHUNK_BYTES, read_regular

if TYPE_CHECKING:
    from pyrage import x25519

Compression = Literal["none", "zstd"]

COMPRESSED_SUFFIX = ".zst"
ENCRYPTED_SUFFIX = ".age"
# Level of zstd: fast, and a third of the size.
LEVEL = 3
MAXIMUM_RECIPIENTS = 20
MAXIMUM_IDENTITY_FILE_BYTES = 64 * 1024

# Secret keys: each opens the files that were encrypted to its public key.
Identities = Sequence["x25519.Identity"]


class SealedError(RuntimeError):
    """A file is encrypted, and there is no key for it."""


class UnsoundError(RuntimeError):
    """A file differs from what was sealed; the message says how."""


class Sealing(msgspec.Struct, frozen=True):
    """The compression and encryption of backups; segments of the archive are compressed in any case."""

    compression: Compression = "none"
    recipients: tuple[str, ...] = ()
    """The public keys (`age1…`), any of whose owners can open it; none: it is not encrypted."""

    @property
    def suffix(self) -> str:
        """The end of the names of files of this form."""
        compressed = COMPRESSED_SUFFIX if self.compression == "zstd" else ""
        return compressed + (ENCRYPTED_SUFFIX if self.recipients else "")


def require_recipients(recipients: Iterable[str]) -> None:
    """Returns if these are public keys.

    Raises:
        ValueError: one is not; the message does not repeat it, since it may be a secret one.
    """
    keys = tuple(recipients)
    if not keys:
        return
    if len(keys) > MAXIMUM_RECIPIENTS:
        raise ValueError(f"{len(keys)} public keys are more than {MAXIMUM_RECIPIENTS}")
    for number, key in enumerate(keys, 1):
        _recipient(key, number)


def read_identities(file: Path) -> Identities:
    """The secret keys in a file as `age-keygen` writes it.

    Raises:
        ValueError: the file has no secret key, or another line; the message repeats nothing of it.
        OSError: the file cannot be read.
    """
    import pyrage

    content = read_regular(file, MAXIMUM_IDENTITY_FILE_BYTES)
    lines = [line.strip() for line in content.decode(errors="replace").splitlines()]
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError:
        raise ValueError(f"{file} has a line that is no AGE-SECRET-KEY-1…") from None
    if not found:
        raise ValueError(f"{file} has no AGE-SECRET-KEY-1…")
    return found


def write_new_identity(file: Path) -> str:
    """Makes a secret key in a new file, as `age-keygen` writes it, for its owner alone; the public key.

    Raises:
        FileExistsError: there is such a file; it may be the only copy of another key.
        OSError: it cannot be written.
    """
    from pyrage import x25519

    identity = x25519.Identity.generate()
    public = str(identity.to_public())
    # On disk before the public key is used: backups would be unreadable if a power cut lost the secret key.
    write_new_private(file, f"# public key: {public}\n{identity}\n".encode())
    return public


def seal_file(source: Path, target: Path, sealing: Sealing) -> None:
    """Writes the sealed form of a file into another, which exists and is empty."""
    import pyrage

    with source.open("rb") as plain, target.open("wb") as sealed:
        reader: Any = plain
        if sealing.compression == "zstd":
            compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
            reader = compressor.stream_reader(plain, size=source.stat().st_size)
        if not sealing.recipients:
            while chunk := reader.read(CHUNK_BYTES):
                sealed.write(chunk)
            return
        try:
            pyrage.encrypt_io(reader, sealed, _recipients(sealing.recipients))
        except pyrage.EncryptError as error:
            # The library wraps errors of the disk, for example that it is full.
            raise OSError(f"{target.name} cannot be written: {error}") from error


def seal_bytes(content: bytes, recipients: tuple[str, ...]) -> bytes:
    """The encrypted form of compressed bytes; the bytes themselves if there are no recipients."""
    import pyrage

    return pyrage.encrypt(content, _recipients(recipients)) if recipients else content


def open_bytes(content: bytes, identities: Identities) -> bytes:
    """The content that was sealed.

    Raises:
        SealedError: none of the keys opens it.
        UnsoundError: the content was changed.
    """
    into = io.BytesIO()
    _decrypt(io.BytesIO(content), into, identities)
    return into.getvalue()


def open_file(
    source: IO[bytes],
    target: IO[bytes],
    *,
    sealing: Sealing,
    identities: Identities,
    size: int,
    told: Callable[[int, int], None],
) -> str:
    """Opens a sealed file into `target`, `size` bytes at most; the SHA-256 of the opened content.

    Raises:
        SealedError: none of the keys opens it.
        UnsoundError: it was changed; `target` has a part of the content then.
    """
    writer = _Bounded(target, size, told)
    into: Any = writer
    if sealing.compression == "zstd":
        into = zstandard.ZstdDecompressor().stream_writer(cast(IO[bytes], writer), closefd=False)
    try:
        if sealing.recipients:
            _decrypt(source, into, identities)
        else:
            while chunk := source.read(CHUNK_BYTES):
                into.write(chunk)
        into.flush()
    except zstandard.ZstdError as error:
        raise UnsoundError(f"it cannot be decompressed: {error}") from error
    return writer.digest.hexdigest()


def _decrypt(source: IO[bytes], target: Any, identities: Identities) -> None:
    import pyrage

    writer = _Remembering(target)
    try:
        pyrage.decrypt_io(source, writer, list(identities))
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise SealedError("none of the keys opens it") from error
        raise UnsoundError(f"it cannot be decrypted: {error}") from error
    except OSError as error:
        # The library replaces an error of the writer by a new one with its text, so the original is raised.
        if writer.failure is not None:
            raise writer.failure from None
        raise UnsoundError(f"it cannot be decrypted: {error}") from error


def _recipients(keys: Sequence[str]) -> list[Any]:
    return [_recipient(key, number) for number, key in enumerate(keys, 1)]


def _recipient(key: str, number: int) -> Any:
    import pyrage

    try:
        return pyrage.x25519.Recipient.from_str(key)
    except pyrage.RecipientError:
        raise ValueError(f"number {number} is no public key of age (age1…)") from None


class _Remembering:
    """A writer that passes everything on to another, and remembers its error."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.failure: Exception | None = None

    def write(self, content: bytes) -> int:
        try:
            self._target.write(content)
        except Exception as error:
            self.failure = error
            raise
        return len(content)

    def flush(self) -> None:
        """Does nothing: this writer has no buffer."""


class _Bounded:
    """A writer that also hashes, up to a size: the content of a forged file could fill the disk."""

    def __init__(self, target: IO[bytes], size: int, told: Callable[[int, int], None]) -> None:
        self._target = target
        self._size = size
        self._told = told
        self._written = 0
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self._written += len(content)
        if self._written > self._size:
            raise UnsoundError(f"there is more in it than {self._size} bytes")
        self.digest.update(content)
        self._told(self._written, self._size)
        return self._target.write(content)

    def flush(self) -> None:
        self._target.flush()


def as_reader(chunks: Iterator[bytes]) -> IO[bytes]:
    """A file object that reads from pieces of content."""
    return io.BufferedReader(_Chunks(chunks), CHUNK_BYTES)


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            following = next(self._chunks, None)
            if following is None:
                return 0
            self._rest = memoryview(following)
        taken = min(len(buffer), len(self._rest))
        buffer[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken

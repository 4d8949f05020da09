"""Bearer tokens: `TokenFile` keeps them, `Tokens` knows them while the service runs.

A token is 256 random bits, so that its plain SHA-256 is kept and nothing slower: there is nothing to guess.
Revoked tokens stay in the file: once there was a token, nobody comes in without one.
"""

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from bus.identifiers import new_id
from ops.http.access.roles import Role
from ops.store.data_directory import write_private

FILE = "tokens.json"
# The beginning of every token, so that one that is found somewhere is recognised.
PREFIX = "hpt_"
MAXIMUM_TOKENS = 1_000

TokenName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")]


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is kept, without its secret. Times are milliseconds since the epoch."""

    id: str
    name: TokenName
    role: Role
    hash: str
    """SHA-256, hexadecimal."""
    created_at: int
    created_by: str = ""
    """The user at the command line."""
    expires_at: int | None = None
    revoked_at: int | None = None
    revoked_by: str = ""

    def is_good(self, now: int) -> bool:
        """Whether it still lets its bearer in."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class TokenError(RuntimeError):
    """Tokens cannot be read or changed as asked; the message says why."""


class _File(msgspec.Struct, frozen=True, kw_only=True):
    tokens: list[Token] = []


def hash_of(secret: str) -> str:
    """The hash that is kept of a token's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class TokenFile:
    """The tokens of a data directory; each call reads the file."""

    def __init__(self, data: Path) -> None:
        self.path = data / FILE

    def read(self) -> list[Token]:
        """All that were ever made, in that order.

        Raises:
            TokenError: the file cannot be read.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_File).tokens
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
            raise TokenError(f"{self.path} cannot be read: {error}") from error

    def create(
        self, name: str, role: Role, *, by: str = "", lifetime_ms: int | None = None
    ) -> tuple[Token, str]:
        """A new token, and its secret, which is stored nowhere.

        Raises:
            TokenError: the name is none, or taken; there are too many; the file cannot be read.
        """
        now = _now()
        secret = PREFIX + secrets.token_urlsafe(32)
        token = Token(
            id=new_id(),
            name=name,
            role=role,
            hash=hash_of(secret),
            created_at=now,
            created_by=by,
            expires_at=None if lifetime_ms is None else now + lifetime_ms,
        )
        try:
            msgspec.convert(name, TokenName)
        except msgspec.ValidationError:
            raise TokenError(
                f"{name!r} is no name of a token: 1 to 64 letters, digits and . _ @ -,"
                " the first a letter or digit"
            ) from None
        with self._locked():
            tokens = self.read()
            if any(one.name == name and one.is_good(now) for one in tokens):
                raise TokenError(f"there is a token {name}; revoke it first, or choose another name")
            if len(tokens) >= MAXIMUM_TOKENS:
                raise TokenError(f"there are {MAXIMUM_TOKENS} tokens, and no more are kept in {self.path}")
            self._write([*tokens, token])
        return token, secret

    def revoke(self, name_or_id: str, *, by: str = "") -> Token:
        """The token, revoked.

        Raises:
            TokenError: there is none that would; the file cannot be read.
        """
        now = _now()
        with self._locked():
            tokens = self.read()
            for place, one in enumerate(tokens):
                if name_or_id in (one.name, one.id) and one.revoked_at is None:
                    tokens[place] = msgspec.structs.replace(one, revoked_at=now, revoked_by=by)
                    self._write(tokens)
                    return tokens[place]
        raise TokenError(f"there is no token {name_or_id}")

    def _write(self, tokens: Sequence[Token]) -> None:
        write_private(self.path, msgspec.json.format(msgspec.json.encode(_File(tokens=list(tokens)))))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Without the lock, the second of two writers at once would drop the token of the first.
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _now() -> int:
    return time.time_ns() // 1_000_000


class Tokens:
    """The tokens of a running service; a change of the file counts from the next request on.

    `on_change` hears of each token that was made or revoked since: the verb, and the token.
    """

    def __init__(
        self,
        data: Path,
        *,
        on_change: Callable[[str, Token], None] = lambda verb, token: None,
        clock: Callable[[], int] = _now,
    ) -> None:
        self._file = TokenFile(data)
        self._on_change = on_change
        self._clock = clock
        self._seen: tuple[int, ...] | None = None
        self._by_hash: dict[str, Token] = {}
        self.problem: str | None = None
        """Why the file cannot be read; while it cannot, nobody is let in."""
        self._read(self._stamp())

    @property
    def required(self) -> bool:
        """Whether a token is needed: there once was one, or the file cannot be read."""
        self.refresh()
        return bool(self._by_hash) or self.problem is not None

    def still_good(self, token_hash: str) -> Token | None:
        """The token with this hash, if it still lets its bearer in."""
        self.refresh()
        token = self._by_hash.get(token_hash)
        return token if token is not None and token.is_good(self._clock()) else None

    def named(self, name: str) -> Token | None:
        """The token of this name, if it still lets its bearer in."""
        self.refresh()
        now = self._clock()
        return next((one for one in self._by_hash.values() if one.name == name and one.is_good(now)), None)

    def refresh(self) -> None:
        """Reads the file again if it was changed."""
        stamp = self._stamp()
        if stamp != self._seen:
            before = self._by_hash
            self._read(stamp)
            for token_hash, token in self._by_hash.items():
                if token_hash not in before:
                    self._on_change("create", token)
                if token.revoked_at is not None and before.get(token_hash, token).revoked_at is None:
                    self._on_change("revoke", token)

    def _read(self, stamp: tuple[int, ...]) -> None:
        self._seen = stamp
        try:
            self._by_hash = {one.hash: one for one in self._file.read()}
            self.problem = None
        except TokenError as error:
            self._by_hash = {}
            self.problem = str(error)

    def _stamp(self) -> tuple[int, ...]:
        # Enough to see a change: the file is always replaced as a whole, never written in place.
        try:
            stat = self._file.path.stat()
        except OSError:
            return ()
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

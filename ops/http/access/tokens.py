"""Bearer tokens: `TokenFile` keeps them, `Tokens` finds them while the service runs.

A token is 256 random bits, which cannot be guessed, so a plain SHA-256 of it is kept and no slower hash.
Revoked tokens stay in the file, so that the audit log can name them. A lost or damaged file lets nobody in: a
token that is not in it is refused, and whether a token is needed does not depend on the file.
"""

import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from bus.kept_files import write_private
from hyperpage_client.identifiers import new_id
from ops.http.access.roles import Role
from ops.security.users import RESERVED, TOKEN_PREFIX, UserError, UserFile
from ops.store.data_directory import only_writer, read_private
from ops.targets.documents import decode_document

FILE = "tokens.json"
# More than a file with `MAXIMUM_TOKENS` tokens takes.
MAXIMUM_FILE_BYTES = 4 * 1024 * 1024
# The beginning of every token, so that a leaked one is recognised.
PREFIX = TOKEN_PREFIX
MAXIMUM_TOKENS = 1_000

# The names of new tokens. Names of older ones may have capital letters, dots and at signs, too.
_NEW_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")
TokenName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}\Z")]

logger = logging.getLogger(__name__)


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
        """Whether the token is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class TokenError(RuntimeError):
    """Tokens cannot be read or changed as asked; the message says why."""


class _File(msgspec.Struct, frozen=True, kw_only=True):
    tokens: list[Token]


def hash_of(secret: str) -> str:
    """The hash that is kept of a token's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class TokenFile:
    """The tokens of a data directory; each call reads the file."""

    def __init__(self, data: Path) -> None:
        self.path = data / FILE
        # Made with the first token, and never removed: it shows that there were tokens.
        self.lock_path = self.path.with_suffix(".lock")

    def read(self) -> list[Token]:
        """All tokens that were ever made, oldest first.

        Raises:
            TokenError: the file cannot be read.
        """
        try:
            content = read_private(self.path, at_most_bytes=MAXIMUM_FILE_BYTES)
            return decode_document(content, _File).tokens
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, msgspec.DecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise TokenError(f"{self.path} cannot be read: {reason}") from error

    def create(
        self, name: str, role: Role, *, by: str = "", lifetime_ms: int | None = None
    ) -> tuple[Token, str]:
        """A new token, and its secret, which is stored nowhere.

        Raises:
            TokenError: the name is not allowed or taken; there are too many tokens; the file cannot be read.
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
        if not _NEW_NAME.fullmatch(name):
            raise TokenError(
                f"{name!r} is no name of a token: 1 to 64 small letters, digits, _ and -, the first none of -"
            )
        if name in RESERVED:
            raise TokenError(f"{name} is what others are called; choose another name, such as {name}-1")
        if self._is_a_users(name):
            raise TokenError(f"there is, or was, a user {name}; choose another name")
        with self._locked():
            tokens = self.read()
            if any(one.name == name and one.is_good(now) for one in tokens):
                raise TokenError(f"there is a token {name}; revoke it first, or choose another name")
            if len(tokens) >= MAXIMUM_TOKENS:
                raise TokenError(f"there are {MAXIMUM_TOKENS} tokens, and no more are kept in {self.path}")
            self._write([*tokens, token])
        return token, secret

    def _is_a_users(self, name: str) -> bool:
        # Events record a principal by its name alone, so a token and a user must not share one.
        try:
            return any(one.name == name for one in UserFile(self.path.parent).read())
        except UserError as error:
            raise TokenError(str(error)) from error

    def revoke(self, name_or_id: str, *, by: str = "") -> Token:
        """The token, revoked.

        Raises:
            TokenError: there is no such token, or it is revoked already; the file cannot be read.
        """
        now = _now()
        if not self.read():
            raise TokenError(f"there is no token {name_or_id}")
        with self._locked():
            tokens = self.read()
            for place, one in enumerate(tokens):
                if name_or_id in (one.name, one.id) and one.revoked_at is None:
                    tokens[place] = msgspec.structs.replace(one, revoked_at=now, revoked_by=by)
                    self._write(tokens)
                    return tokens[place]
        raise TokenError(f"there is no token {name_or_id}")

    def _write(self, tokens: Sequence[Token]) -> None:
        write_private(self.path, msgspec.json.format(msgspec.json.encode(_File(tokens=list(tokens)))) + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Without the lock, the second of two writers at once would drop the token of the first.
        with ExitStack() as stack:
            try:
                stack.enter_context(only_writer(self.lock_path))
            except OSError as error:
                raise TokenError(f"{self.lock_path} cannot be used: {error.strerror}") from error
            yield


def _now() -> int:
    return time.time_ns() // 1_000_000


class Tokens:
    """The tokens of a running service; a change of the file counts from the next request on.

    `on_change` is called for each token that was made or revoked since the last read, with the verb and the
    token. `clock` is in milliseconds since the epoch; if it is set back, expired tokens stay expired.
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
        self._latest = 0
        self._seen: tuple[object, ...] | None = ()
        self._by_hash: dict[str, Token] = {}
        # The tokens as of the last time that the file could be read.
        self._known: dict[str, Token] = {}
        self.were_made = False
        """Whether a token was ever made here, as far as this process and the files can tell."""
        self.problem: str | None = None
        """Why tokens that were made are not known, or `None`; while it is set, no token is accepted."""
        self._read(self._stamp())

    def still_good(self, token_hash: str) -> Token | None:
        """The token with this hash, if it is neither revoked nor expired."""
        self.refresh()
        token = self._by_hash.get(token_hash)
        return token if token is not None and token.is_good(self._latest_time()) else None

    def why_not(self, token_hash: str) -> tuple[str, str | None]:
        """The code for why a token with this hash is refused, and the token's name if it is known."""
        token = self._by_hash.get(token_hash)
        if token is None:
            return "unknown_token", None
        return ("expired" if token.revoked_at is None else "revoked"), token.name

    def named(self, name: str) -> Token | None:
        """The token of this name, if it is neither revoked nor expired."""
        self.refresh()
        now = self._latest_time()
        return next((one for one in self._by_hash.values() if one.name == name and one.is_good(now)), None)

    def _latest_time(self) -> int:
        self._latest = max(self._latest, self._clock())
        return self._latest

    def refresh(self) -> None:
        """Reads the file again if it was changed."""
        stamp = self._stamp()
        if stamp != self._seen:
            before = self._known
            self._read(stamp)
            for token_hash, token in self._by_hash.items():
                if token_hash not in before:
                    self._on_change("create", token)
                if token.revoked_at is not None and before.get(token_hash, token).revoked_at is None:
                    self._on_change("revoke", token)

    def _read(self, stamp: tuple[object, ...]) -> None:
        before, problem = self._known, None
        self._seen = stamp
        try:
            self._by_hash = self._known = {one.hash: one for one in self._file.read()}
        except TokenError as error:
            self._by_hash, problem = {}, str(error)
            if isinstance(error.__cause__, OSError):
                # The file itself may be fine: the next request reads it again.
                self._seen = None
        self.were_made = self.were_made or bool(self._by_hash or problem or self._was_locked())
        if problem is None and self.were_made and not self._by_hash:
            problem = f"{self._file.path} has no tokens any more"
        lost = [one.name for token_hash, one in before.items() if token_hash not in self._by_hash]
        if problem is None and lost:
            logger.warning("tokens that nobody revoked are gone, and let nobody in: %s", ", ".join(lost))
        if problem is not None and problem != self.problem:
            logger.warning("nobody is let in by a token: %s", problem)
        if problem is None and self.problem is not None:
            logger.info("tokens are known again")
        self.problem = problem

    def _was_locked(self) -> bool:
        try:
            self._file.lock_path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            pass
        return True

    def _stamp(self) -> tuple[object, ...]:
        # Enough to notice every change: programs cannot set the time of an inode's last change (ctime).
        try:
            about = self._file.path.stat()
        except OSError as error:
            return (error.errno,)
        return about.st_ino, about.st_ctime_ns, about.st_mtime_ns, about.st_size, about.st_mode

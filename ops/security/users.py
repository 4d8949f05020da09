"""The file with users of their own: `UserFile`; `KnownUsers` finds them while a service runs.

A user proves that it has a private key (an NKey: Ed25519); only the public keys are kept here. When a key is
replaced, the old one stays valid for some time. https://github.com/nats-io/nkeys
"""

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from bus.broker.users import USERS, BrokerUser
from bus.contract.rights import ALL, Rights
from bus.contract.senders import USER_PATTERN, is_user_name
from bus.kept_files import write_private
from domain.catalogue import BY_TABLE, VERBS
from domain.messages import KEY_PATTERN
from hyperpage_client.transport.nkeys import NKey, new_seed
from ops.store.data_directory import only_writer, read_private
from ops.targets.documents import decode_document

FILE = "users.json"
# More than a file with `MAXIMUM_USERS` users takes.
MAXIMUM_FILE_BYTES = 4 * 1024 * 1024
MAXIMUM_USERS = 200
MAXIMUM_KEYS = 4
# The beginning of every token for HTTP.
TOKEN_PREFIX = "hpt_"
# Names that neither a user nor a token may have, since they stand for other principals.
RESERVED = frozenset({*USERS, "anonymous", "console", "hyperpage", "system"})
UserName = Annotated[str, msgspec.Meta(pattern=rf"^{USER_PATTERN}\Z")]
PublicKey = Annotated[str, msgspec.Meta(pattern=r"^U[A-Z2-7]{55}\Z")]


logger = logging.getLogger(__name__)


class UserKey(msgspec.Struct, frozen=True, kw_only=True):
    """The public half of a user's key. Times are milliseconds since the epoch."""

    public: PublicKey
    created_at: int
    expires_at: int | None = None


class UserToken(msgspec.Struct, frozen=True, kw_only=True):
    """A user's token for HTTP, by its SHA-256 (hexadecimal). Times are milliseconds since the epoch."""

    hash: str
    created_at: int
    expires_at: int | None = None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user as the file keeps it. Times are milliseconds since the epoch."""

    name: UserName
    rights: Rights
    keys: tuple[UserKey, ...]
    created_at: int
    created_by: str = ""
    tokens: tuple[UserToken, ...] = ()
    revoked_at: int | None = None
    revoked_by: str = ""

    def good_keys(self, now: int) -> tuple[UserKey, ...]:
        """The keys that are valid at a time; none if the user is revoked."""
        return () if self.revoked_at is not None else _unexpired(self.keys, now)

    def has_token(self, token_hash: str, now: int) -> bool:
        """Whether the user has a token with this hash that is valid at a time."""
        good = () if self.revoked_at is not None else _unexpired(self.tokens, now)
        return any(one.hash == token_hash for one in good)

    def as_broker_user(self, now: int) -> BrokerUser:
        """The user in the form that the broker takes."""
        credentials = tuple({"nkey": one.public} for one in self.good_keys(now))
        return BrokerUser(name=self.name, credentials=credentials, rights=self.rights)


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets that a user gets, and that are stored nowhere: its key's seed, and its token for HTTP."""

    seed: str
    token: str


class UserError(RuntimeError):
    """Users cannot be read or changed as asked; the message says why."""


class _File(msgspec.Struct, frozen=True, kw_only=True):
    users: list[User] = []


def rights_of(
    *, allow: Sequence[str], keys: Sequence[str], tables: Sequence[str], reads: bool, follows: bool
) -> Rights:
    """The rights that an operator gives a user: commands, keys by their beginnings (`billing/*`), tables.

    With `reads` and `follows`, the user may read and follow the tables of its commands, and `tables` besides.

    Raises:
        UserError: there is no such command or table, or a pattern is no beginning of a key.
    """
    for pattern in allow:
        table, _, verb = pattern.partition(".")
        if pattern != ALL and not (verb == ALL and _is_table(table)) and not _is_command(pattern):
            raise UserError(
                f"there is no command {pattern}: `hyperpage schema` lists them; jobs.* are all of jobs"
            )
    for table in tables:
        if table != ALL and not _is_table(table):
            raise UserError(f"there is no table {table}: {', '.join(BY_TABLE)}")
    beginnings = tuple(dict.fromkeys(_beginning(one) for one in keys if one != ALL))
    own = tuple(dict.fromkeys([*(one.partition(".")[0] for one in allow), *tables]))
    return Rights(
        commands=tuple(allow), keys=beginnings, reads=own if reads else (), follows=own if follows else ()
    )


def _is_table(name: str) -> bool:
    return name in BY_TABLE or any(command.startswith(f"{name}.") for command in VERBS)


def _is_command(name: str) -> bool:
    return name in VERBS and not VERBS[name][1].internal


def _beginning(pattern: str) -> str:
    beginning = pattern.removesuffix(ALL)
    try:
        # A text is the beginning of a key if it can be completed to one.
        msgspec.convert(f"{beginning}x", Annotated[str, msgspec.Meta(pattern=KEY_PATTERN)])
    except msgspec.ValidationError:
        raise UserError(f"{pattern!r} is no beginning of keys: billing/* is one") from None
    if not pattern.endswith(ALL):
        raise UserError(f"{pattern!r} is a single key; {pattern}* or {pattern}/* are all that begin so")
    return beginning


_Kept = TypeVar("_Kept", UserKey, UserToken)


def _unexpired(kept: Sequence[_Kept], now: int) -> tuple[_Kept, ...]:
    return tuple(one for one in kept if one.expires_at is None or now < one.expires_at)


def _ending(kept: Sequence[_Kept], now: int, left_ms: int) -> tuple[_Kept, ...]:
    """The valid ones, which now expire after that time, or earlier if they did so before."""
    until = now + left_ms
    ending = [
        msgspec.structs.replace(one, expires_at=min(until, one.expires_at or until))
        for one in _unexpired(kept, now)
        if left_ms
    ]
    return tuple(ending[1 - MAXIMUM_KEYS :])


def _token(given: Secrets, now: int) -> UserToken:
    return UserToken(hash=hashlib.sha256(given.token.encode()).hexdigest(), created_at=now)


def new_secrets() -> tuple[str, Secrets]:
    """A new public key, and the secrets that its owner gets."""
    seed = new_seed()
    return NKey(seed).public, Secrets(seed=seed, token=TOKEN_PREFIX + secrets.token_urlsafe(32))


class UserFile:
    """The users of a data directory; each call reads the file."""

    def __init__(self, data: Path) -> None:
        self.path = data / FILE

    def read(self) -> list[User]:
        """All users that were ever made, oldest first.

        Raises:
            UserError: the file cannot be read.
        """
        try:
            return decode_document(read_private(self.path, at_most_bytes=MAXIMUM_FILE_BYTES), _File).users
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, msgspec.DecodeError) as error:
            raise UserError(f"{self.path} cannot be read: {error}") from error

    def stamp(self) -> tuple[int, ...]:
        """A value that changes whenever the file does."""
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def create(
        self, name: str, rights: Rights, *, by: str = "", others: Collection[str] = ()
    ) -> tuple[User, Secrets]:
        """A new user, and its secrets. `others` are names that tokens have, or had.

        Raises:
            UserError: the name is not allowed or taken; there are too many users; the file cannot be read.
        """
        if not is_user_name(name) or name in RESERVED:
            raise UserError(
                f"{name!r} is no name of a user: 1 to 64 of a-z, 0-9, _ and -, and none of"
                f" {', '.join(sorted(RESERVED))}"
            )
        public, given = new_secrets()
        now = _now()
        user = User(
            name=name,
            rights=rights,
            keys=(UserKey(public=public, created_at=now),),
            created_at=now,
            created_by=by,
            tokens=(_token(given, now),),
        )
        with self._locked():
            users = self.read()
            # Names are never used again, since old events name users, too.
            if any(one.name == name for one in users) or name in others:
                raise UserError(f"there is, or was, a user or a token {name}; choose another name")
            if len(users) >= MAXIMUM_USERS:
                raise UserError(f"there are {MAXIMUM_USERS} users, and no more are kept in {self.path}")
            self._write([*users, user])
        return user, given

    def rotate(self, name: str, *, old_key_ms: int) -> tuple[User, Secrets]:
        """The user with a new key and a new token; its old ones stay valid for `old_key_ms`.

        Raises:
            UserError: there is no such user; the file cannot be read.
        """
        public, given = new_secrets()
        now = _now()

        def changed(user: User) -> User:
            keys = (*_ending(user.keys, now, old_key_ms), UserKey(public=public, created_at=now))
            tokens = (*_ending(user.tokens, now, old_key_ms), _token(given, now))
            return msgspec.structs.replace(user, keys=keys, tokens=tokens)

        return self._change(name, changed), given

    def revoke(self, name: str, *, by: str = "") -> User:
        """The user, revoked.

        Raises:
            UserError: there is no such user; the file cannot be read.
        """
        now = _now()
        return self._change(name, lambda user: msgspec.structs.replace(user, revoked_at=now, revoked_by=by))

    def _change(self, name: str, change: Callable[[User], User]) -> User:
        with self._locked():
            users = self.read()
            for place, one in enumerate(users):
                if one.name == name and one.revoked_at is None:
                    users[place] = change(one)
                    self._write(users)
                    return users[place]
        raise UserError(f"there is no user {name}")

    def _write(self, users: Sequence[User]) -> None:
        write_private(self.path, msgspec.json.format(msgspec.json.encode(_File(users=list(users)))) + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Without the lock, the second of two writers at once would drop the user of the first.
        lock = self.path.with_suffix(".lock")
        with ExitStack() as stack:
            try:
                stack.enter_context(only_writer(lock))
            except OSError as error:
                raise UserError(f"{lock} cannot be used: {error.strerror}") from error
            yield


class KnownUsers:
    """The users of a data directory, kept in memory; a change of the file counts at once.

    While the file cannot be read, no user is known.
    """

    def __init__(self, data: Path) -> None:
        self._file = UserFile(data)
        self._seen: tuple[int, ...] | None = None
        self._users: list[User] = []
        self._problem = ""

    def with_token(self, token_hash: str) -> User | None:
        """The user that is not revoked and has a valid token with this hash."""
        now = _now()
        return next((one for one in self._good() if one.has_token(token_hash, now)), None)

    def named(self, name: str) -> User | None:
        """The user of this name, if it is not revoked."""
        return next((one for one in self._good() if one.name == name), None)

    def _good(self) -> Iterator[User]:
        stamp = self._file.stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._users, self._problem = self._file.read(), ""
            except UserError as error:
                if self._problem != str(error):
                    self._problem = str(error)
                    logger.warning("no user is known: %s", error)
                self._users = []
                if isinstance(error.__cause__, OSError):
                    # The file itself may be fine: the next request reads it again.
                    self._seen = None
        return (one for one in self._users if one.revoked_at is None)


def _now() -> int:
    return time.time_ns() // 1_000_000

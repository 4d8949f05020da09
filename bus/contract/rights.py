"""The rights of a user: to send commands, ask for rows, follow tables."""

from collections.abc import Iterable

import msgspec

ALL = "*"
# The prefix of the name of a token that owns command ids; no user's name has a space.
TOKENS = "token "


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """The rights of one user. `*` stands for all commands, or all tables.

    `commands` are names such as `jobs.enqueue`, or all of a table: `jobs.*`. `reads` are the tables that the
    user may query, `follows` the tables whose events it may see. `keys` limit commands and queries to keys
    with one of these beginnings; without any, all keys are allowed.
    """

    commands: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def may_send(self, command: str) -> bool:
        """Whether the user may send a command; the command's key is checked by `has_key`."""
        return _covers(self.commands, command)

    def may_read(self, table: str) -> bool:
        return ALL in self.reads or table in self.reads

    def may_follow(self, table: str) -> bool:
        return ALL in self.follows or table in self.follows

    def has_key(self, key: str) -> bool:
        """Whether a key is one of the user's."""
        return not self.keys or key.startswith(self.keys)

    @property
    def is_everything(self) -> bool:
        return self == EVERYTHING


EVERYTHING = Rights(commands=(ALL,), reads=(ALL,), follows=(ALL,))


class Principal(msgspec.Struct, frozen=True, gc=False):
    """The authenticated sender of a request: the name of a token or of a user; `None` where it is unknown.

    `is_user` says that it is a user of its own, `is_token` that it is a token. Any other name may be shared
    by several senders.
    """

    name: str | None = None
    rights: Rights = EVERYTHING
    is_user: bool = False
    is_token: bool = False

    @property
    def owner(self) -> str | None:
        """The owner of its command ids, so that others can neither get its answers nor use its ids up."""
        if self.is_token:
            return f"{TOKENS}{self.name}"
        return self.name if self.is_user else None


UNKNOWN_PRINCIPAL = Principal()


def _covers(patterns: Iterable[str], name: str) -> bool:
    table = name.partition(".")[0]
    return any(pattern in (ALL, name, f"{table}.{ALL}") for pattern in patterns)

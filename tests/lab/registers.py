"""A key of a table as a register with versions: the answers of commands and `get` in a sequence.

Every change makes the next version; the count goes on when a key is removed. This holds for keys of
`app_state`, tool configurations and jobs alike, as long as no value is written twice in a row.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from tests.lab.linearizability import Operation, Verdict, check

# The version, and the value; `None`: the key holds nothing.
Held = tuple[int, Any]
NOTHING: Held = (0, None)


class Write(msgspec.Struct, frozen=True):
    """Writes a value: always, or if the key is at the expected version (0: holds nothing)."""

    value: Any
    expected: int | None = None


class Create(msgspec.Struct, frozen=True):
    """Writes a value if the key holds nothing."""

    value: Any


class Change(msgspec.Struct, frozen=True):
    """Writes a value if the key holds something."""

    value: Any
    expected: int | None = None


class Remove(msgspec.Struct, frozen=True):
    """Removes the value if the key holds something."""

    expected: int | None = None


class Read(msgspec.Struct, frozen=True):
    """Reads the key."""


class Accepted(msgspec.Struct, frozen=True):
    version: int


class Refused(msgspec.Struct, frozen=True):
    """A refusal with that code; for a conflict, with the version of the key."""

    code: str
    version: int | None = None


class Found(msgspec.Struct, frozen=True):
    version: int
    value: Any


ABSENT = Refused("not_found")


def outcome(held: Held, asked: Any) -> tuple[Held, Any]:
    """The state of the key behind an operation, and the operation's answer."""
    version, value = held
    is_there = value is not None
    match asked:
        case Read():
            return held, Found(version, value) if is_there else ABSENT
        case Write(expected=expected) | Change(expected=expected) | Remove(expected=expected) if (
            expected is not None and expected != version and (expected or is_there)
        ):
            return held, Refused("version_conflict", version)
        case Create() if is_there:
            return held, Refused("already_exists")
        case Change() | Remove() if not is_there:
            return held, ABSENT
        case Remove():
            return (version + 1, None), Accepted(version + 1)
    return (version + 1, asked.value), Accepted(version + 1)


def step(held: Held, one: Operation) -> Iterator[Held]:
    """The step function for `check`."""
    following, answer = outcome(held, one.asked)
    if not one.is_known or one.answered == answer:
        yield following


def check_keys(histories: Mapping[str, Iterable[Operation]]) -> dict[str, Verdict[Held]]:
    """The verdicts on those keys whose operations can't be ordered one after the other."""
    verdicts = {key: check(list(one), NOTHING, step) for key, one in histories.items()}
    return {key: one for key, one in verdicts.items() if not one.holds}

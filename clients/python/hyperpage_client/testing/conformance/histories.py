"""The commands of a history, by its seed: none depends on what became of those before it."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hyperpage_client.documents import encode
from hyperpage_client.testing.conformance.published import CommandSchema
from hyperpage_client.testing.conformance.values import Values

# The share of commands that are sent again at once under their id, and of those that expect a version.
_AGAIN, _EXPECTING = 0.25, 0.05
# After so many commands of each verb, and no fewer than so many in all, come three other keys: much has
# happened to the first three by then.
_STORY, _SHORTEST_STORY = 6, 24


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it is sent."""

    name: str
    body: bytes
    command_id: str
    expected_version: int | None = None
    is_repeated: bool = False

    def __str__(self) -> str:
        expecting = "" if self.expected_version is None else f" at version {self.expected_version}"
        return f"{self.name} {self.body.decode()}{expecting}"


def history(
    seed: int, commands: Sequence[CommandSchema], known: Mapping[str, Sequence[Any]], count: int
) -> list[Wish]:
    """The first `count` commands of a seed's history.

    Raises:
        NoValueError: a command needs something for which no value is known.
    """
    chance = random.Random(seed)
    values = Values(chance, known)
    story = max(_SHORTEST_STORY, _STORY * len(commands))
    wishes = []
    for number in range(count):
        values.names = [f"{one}{number // story}" for one in "abc"]
        # Every second command is the next in turn, so that none is left out; the others are random.
        one = commands[number // 2 % len(commands)] if number % 2 else chance.choice(commands)
        body = encode(values.body(one.schema))
        expecting = chance.random() < _EXPECTING
        wishes.append(
            Wish(
                name=one.name,
                body=body,
                command_id=f"conformance-{seed}-{number}",
                expected_version=chance.randint(0, 2) if expecting else None,
                is_repeated=chance.random() < _AGAIN,
            )
        )
    return wishes

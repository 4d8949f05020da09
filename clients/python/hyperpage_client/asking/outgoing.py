"""Commands on their way out: their names, bodies and headers."""

from typing import Any, Self, TypedDict

import msgspec

from hyperpage_client.contract.commands import BatchItem
from hyperpage_client.contract.headers import (
    ACTOR,
    CAUSATION_ID,
    COMMAND_ID,
    CORRELATION_ID,
    EXPECTED_VERSION,
    TRACEPARENT,
)
from hyperpage_client.documents import encode
from hyperpage_client.identifiers import new_id

# By how it is called in `About`.
_HEADERS = {
    "expected_version": EXPECTED_VERSION,
    "actor": ACTOR,
    "correlation_id": CORRELATION_ID,
    "causation_id": CAUSATION_ID,
    "traceparent": TRACEPARENT,
}
_KNOWN = frozenset(_HEADERS) | {"command_id"}
# The names of commands that somebody else has structs for, as the service itself.
NAMES: dict[type[msgspec.Struct], str] = {}


class Cause(TypedDict, total=False):
    """What a sender may add to any command; all but its id is kept with its events.

    `command_id` has 1 to 128 characters; one is minted where there is none.
    """

    command_id: str
    actor: str
    correlation_id: str
    causation_id: str
    traceparent: str


class About(Cause, total=False):
    """`expected_version` is that which the command's stream must be at, 0 where it must not exist."""

    expected_version: int


class BatchCommand(msgspec.Struct, frozen=True, kw_only=True):
    """One command of a batch: a struct, or a name with its body."""

    command: str | msgspec.Struct
    body: Any = None
    command_id: str | None = None
    expected_version: int | None = None


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it is sent. One that `is_new` has an id that nobody has sent before."""

    name: str
    body: bytes
    command_id: str
    headers: dict[str, str]
    is_new: bool

    @classmethod
    def of(cls, command: str | msgspec.Struct, body: Any, about: About) -> Self:
        """A struct that is a command, or a name with a body.

        Raises:
            ValueError: it is not one.
            TypeError: `about` has what nobody can say about a command.
        """
        given_id = about.get("command_id")
        command_id = given_id or new_id()
        return cls(
            name=_name(command),
            body=_body(command, body),
            command_id=command_id,
            headers={COMMAND_ID: command_id, **headers_about(about)},
            is_new=not given_id,
        )


def headers_about(about: About) -> dict[str, str]:
    """The headers for these, but for the command id.

    Raises:
        TypeError: there is a name among them that says nothing about a command.
    """
    if not about.keys() <= _KNOWN:
        # Mostly a field of the command that is misspelt: to leave it out would be another command.
        unknown = ", ".join(sorted(about.keys() - _KNOWN))
        raise TypeError(f"no field of the command, nor what may be said about one: {unknown}")
    return {
        _HEADERS[name]: str(value) for name, value in about.items() if value is not None and name in _HEADERS
    }


def batch_item(one: msgspec.Struct | BatchCommand) -> BatchItem:
    """A command of a batch as it is sent.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(one, BatchItem):
        return one
    given = one if isinstance(one, BatchCommand) else BatchCommand(command=one)
    return BatchItem(
        command=_name(given.command),
        id=given.command_id or new_id(),
        expected_version=given.expected_version,
        body=msgspec.Raw(_body(given.command, given.body)),
    )


def _name(command: str | msgspec.Struct) -> str:
    if isinstance(command, str):
        return command
    name = getattr(command, "command_name", None) or NAMES.get(type(command))
    if name is None:
        raise ValueError(f"{type(command).__name__} is not a command that can be sent")
    return name


def _body(command: str | msgspec.Struct, body: Any) -> bytes:
    if isinstance(command, str):
        return b"{}" if body is None else encode(body)
    if body is not None:
        raise ValueError("a struct is its own body")
    return encode(command)

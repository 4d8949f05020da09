"""Commands as they are sent: their names, bodies and headers."""

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

# The header of each field of `About`.
_HEADERS = {
    "expected_version": EXPECTED_VERSION,
    "actor": ACTOR,
    "correlation_id": CORRELATION_ID,
    "causation_id": CAUSATION_ID,
    "traceparent": TRACEPARENT,
}
_KNOWN = frozenset(_HEADERS) | {"command_id"}
# The names of commands with structs that are defined elsewhere, as in the service itself.
NAMES: dict[type[msgspec.Struct], str] = {}


class Cause(TypedDict, total=False):
    """The fields that a sender may add to any command; all but its id are kept with its events.

    `command_id` has 1 to 128 characters; without one, an id is made.
    """

    command_id: str
    actor: str
    correlation_id: str
    causation_id: str
    traceparent: str


class About(Cause, total=False):
    """As `Cause`, with the version that the command's stream must be at, 0 if the stream must not exist."""

    expected_version: int


class BatchCommand(msgspec.Struct, frozen=True, kw_only=True):
    """One command of a batch: a struct, or a name with its body."""

    command: str | msgspec.Struct
    body: Any = None
    command_id: str | None = None
    expected_version: int | None = None


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it is sent. `is_new`: its id was made for it here, so nothing was sent under it before."""

    name: str
    body: bytes
    command_id: str
    headers: dict[str, str]
    is_new: bool

    @classmethod
    def of(cls, command: str | msgspec.Struct, body: Any, about: About) -> Self:
        """A command, from a struct, or from a name with its body.

        Raises:
            ValueError: the struct is no command, or a body is given beside it.
            TypeError: `about` has a name that is not one of its fields.
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
    """The headers of these fields, without the command id.

    Raises:
        TypeError: a name is none of the fields.
    """
    if not about.keys() <= _KNOWN:
        # Mostly a misspelt field of the command: without it, another command would be sent than was meant.
        unknown = ", ".join(sorted(about.keys() - _KNOWN))
        raise TypeError(f"no field of the command, nor what may be said about one: {unknown}")
    return {
        _HEADERS[name]: str(value) for name, value in about.items() if value is not None and name in _HEADERS
    }


def batch_item(one: msgspec.Struct | BatchCommand) -> BatchItem:
    """A command of a batch as it is sent.

    Raises:
        ValueError: the struct is no command, or a body is given beside it.
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

"""The base of the classes of all tables: `Table`."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from hyperpage_client.asking.outgoing import About, Cause
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.contract.subjects import split_stream

# How long an answer is waited for by default.
ANSWER_SECONDS = 5.0

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Answer(msgspec.Struct, Generic[R_co], frozen=True, kw_only=True):
    """The answer to an accepted command; everything that it says is on disk.

    `position` is that of its last event in the log, `version` that in its `stream`. A command that changed
    nothing has no events, and a repeated one has those of the first time.
    """

    command_id: str
    stream: str | None
    version: int | None
    position: int | None
    timeline: int
    events: list[str]
    result: R_co

    @property
    def key(self) -> str:
        """The key of what the command was about, such as a job's id; empty where it was about several."""
        return split_stream(self.stream or "")[1]


class Sent(About, total=False):
    """The fields that may be added to a command, and for how many seconds its answer is waited for."""

    timeout_seconds: float


class SentToAny(Cause, total=False):
    """As `Sent`, for a command that has the expected version in its body."""

    timeout_seconds: float


class Asker(Protocol):
    """The client that a table sends commands and queries with."""

    async def send(self, *command: Any, **about: Any) -> CommandAnswer:
        """The answer to a command."""

    async def ask(self, name: str, body: Mapping[str, Any], timeout_seconds: float, /) -> bytes:
        """The answer to a query, as JSON, which may take `timeout_seconds`."""


class Table:
    """A table, with a method for each of its commands and queries.

    The classes that `hyperpage client-types` writes for aggregates of other packages use it, too, and the
    other names of this module.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def _send(self, command: msgspec.Struct, result: Any, about: Mapping[str, Any]) -> Answer[Any]:
        answer = await self._asker.send(command, **about)
        return Answer(
            command_id=answer.command_id,
            stream=answer.stream,
            version=answer.version,
            position=answer.position,
            timeline=answer.timeline,
            events=answer.events,
            result=None if answer.result is None else msgspec.convert(answer.result, result),
        )

    async def _ask(self, name: str, body: Mapping[str, Any], kind: type[T], timeout_seconds: float) -> T:
        answer = await self._asker.ask(name, body, timeout_seconds)
        # Not strict: events have their position as a text.
        return msgspec.json.decode(answer, type=kind, strict=False)

    async def _items(
        self, name: str, body: dict[str, Any], kind: type[T], timeout_seconds: float
    ) -> AsyncIterator[T]:
        """All items of a query, asked for page by page; each page may take `timeout_seconds`."""
        while True:
            page = msgspec.json.decode(await self._asker.ask(name, body, timeout_seconds), type=_Page)
            for item in page.items:
                yield msgspec.json.decode(item, type=kind, strict=False)
            if page.next is None:
                return
            body["after"] = page.next


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next: Any = None


def given(**arguments: Any) -> dict[str, Any]:
    """The arguments that are not None."""
    return {name: value for name, value in arguments.items() if value is not None}

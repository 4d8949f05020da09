"""Change events as a subscriber gets them."""

import re
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from hyperpage_client.contract.subjects import split_stream
from hyperpage_client.documents import decoded

_TYPE_PREFIX = "hyperpage."
_SOURCE_PREFIX = "hyperpage/"


class ChangeEvent(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={
        "store_id": "source",
        "stream": "subject",
        "position": "sequence",
        "command_id": "commandid",
        "correlation_id": "correlationid",
        "causation_id": "causationid",
    },
):
    """One event of the log.

    `id` is `<timeline>-<position>`, and enough to go on behind the event later. `version` is its place in
    `stream` (`jobs/9f1c`), `type` its stable name (`job.completed.v1`), `hash` the head of the log's hash
    chain at its position, in hex. `data` is the decoded JSON.
    """

    id: str
    store_id: str
    timeline: int
    position: int
    stream: str
    version: int
    type: str
    time: datetime
    hash: str
    data: Any = None
    command_id: str | None = None
    actor: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    principal: str | None = None

    def __post_init__(self) -> None:
        # In the CloudEvents form, from which both come, they have a prefix.
        msgspec.structs.force_setattr(self, "type", self.type.removeprefix(_TYPE_PREFIX))
        msgspec.structs.force_setattr(self, "store_id", self.store_id.removeprefix(_SOURCE_PREFIX))

    @property
    def table(self) -> str:
        return split_stream(self.stream)[0]

    @property
    def key(self) -> str:
        return split_stream(self.stream)[1]


class EventPage(msgspec.Struct, frozen=True):
    """A part of the log, in order.

    `next` is the position behind which the following part begins, and None at the end of the log; `head` is
    the log's last position. `timelines` are those of the store `store_id`, each with its first position.
    """

    items: tuple[ChangeEvent, ...]
    next: int | None
    head: int
    store_id: str = ""
    timelines: tuple[tuple[int, int], ...] = ()

    @property
    def covered(self) -> int:
        """The position up to which nothing was left out."""
        if self.next is not None:
            return self.next
        return max(self.head, self.items[-1].position) if self.items else self.head


def parse_event_id(event_id: str) -> tuple[int, int]:
    """The timeline and the position of an event's id.

    Raises:
        ValueError: it is not one.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})", event_id)
    if match is None:
        raise ValueError(f"{event_id!r} is not the id of an event, such as 1-42")
    return int(match[1]), int(match[2])


# Not strict: CloudEvents asks for the position as a string.
decode_event = partial(decoded, msgspec.json.Decoder(ChangeEvent, strict=False).decode)
decode_event_page = partial(decoded, msgspec.json.Decoder(EventPage, strict=False).decode)

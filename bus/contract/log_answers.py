"""The answers to requests to the log."""

from typing import Annotated, Any, Literal

import msgspec

from domain.messages import about


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event, as subscribers get it: a CloudEvent 1.0 in JSON."""

    specversion: Literal["1.0"]
    id: Annotated[str, about("the timeline and the position: `1-41872`")]
    source: Annotated[str, about("`hyperpage/` and the id of the store")]
    type: Annotated[str, about("`hyperpage.` and the type of the event: `hyperpage.job.completed.v1`")]
    subject: Annotated[str, about("the stream: `jobs/9f1c`")]
    time: Annotated[str, about("when the event happened, as in RFC 3339, in UTC")]
    datacontenttype: Literal["application/json"]
    sequence: Annotated[str, about("the position in the log, as a string")]
    version: Annotated[int, about("the version of the stream after this event: 1, 2, 3 …")]
    timeline: Annotated[int, about("the timeline of the event; a restore begins a new one")]
    hash: Annotated[str, about("the hash of this event and all before it, in hexadecimal digits")]
    commandid: Annotated[str | msgspec.UnsetType, about("the command that led to it")] = msgspec.UNSET
    actor: Annotated[
        str | msgspec.UnsetType, about("on whose behalf the command was sent: any name, as the sender said")
    ] = msgspec.UNSET
    correlationid: str | msgspec.UnsetType = msgspec.UNSET
    causationid: str | msgspec.UnsetType = msgspec.UNSET
    traceparent: Annotated[str | msgspec.UnsetType, about("W3C trace context")] = msgspec.UNSET
    principal: Annotated[str | msgspec.UnsetType, about("the user or token that sent the command")] = (
        msgspec.UNSET
    )
    data: Annotated[Any, about("the members that the type of the event defines")]


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a stream, in its order."""

    items: tuple[CloudEvent, ...]
    next: Annotated[int | None, about("the `after` of the next page, null on the last page")]


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the log, in its order."""

    items: tuple[CloudEvent, ...]
    next: Annotated[int | None, about("the `after` of the next page, null at the head")]
    head: Annotated[int, about("the position of the head of the log")]
    store_id: str
    timelines: Annotated[
        tuple[tuple[int, int], ...], about("the timelines of the store, each with its first position")
    ]


class FoundEvents(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the log, the newest first."""

    items: tuple[CloudEvent, ...]
    next: Annotated[int | None, about("the `before` of the next page, null at the beginning of the log")]
    head: Annotated[int, about("the position of the head of the log")]


class ChainLink(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and the position of the event that caused it."""

    cause: Annotated[int | None, about("the position of its cause, if that is among the items")]
    event: CloudEvent


class EventChain(msgspec.Struct, frozen=True, kw_only=True):
    """Events that caused each other or have one correlation id, in the order of the log."""

    items: tuple[ChainLink, ...]
    complete: Annotated[bool, about("false if there are more than an answer can hold")]

"""Requests to the log: for parts of it, for one stream, for a moment, for events that led to each other."""

from typing import Annotated

import msgspec

from domain.messages import Key, Time

# Ids are as long as a header may be.
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class ReadEvents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events after position `after`, of all tables, one table or one stream."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    table: Key | None = None
    stream: Annotated[str, msgspec.Meta(max_length=300)] | None = None


class Moment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A moment in the log: a position, or a time."""

    position: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None
    time: Time | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a stream: at most `limit` events after version `after`."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class FindEvents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events before a position, the newest first, that match every field that is given."""

    before: Annotated[int, msgspec.Meta(ge=1, le=2**62)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    table: Key | None = None
    stream: Annotated[str, msgspec.Meta(max_length=300)] | None = None
    type: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    correlation_id: Id | None = None


class FindChain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event at a position, its causes, its effects, and all events with the same correlation id.

    With a `correlation_id` in place of the position: all events that have it.
    """

    position: Annotated[int, msgspec.Meta(ge=1, le=2**62)] | None = None
    correlation_id: Id | None = None

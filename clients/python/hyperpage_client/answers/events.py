"""Rows, results and answers of `events`. Made by `make client`."""

import msgspec

from hyperpage_client.following.change_events import ChangeEvent


class FoundEvents(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the log, the newest first."""

    items: tuple[ChangeEvent, ...]
    next: int | None = None
    head: int


class ChainLink(msgspec.Struct, frozen=True, kw_only=True):
    """An event, and the position of the event that caused it."""

    cause: int | None = None
    event: ChangeEvent


class EventChain(msgspec.Struct, frozen=True, kw_only=True):
    """Events that caused each other or have one correlation id, in the order of the log."""

    items: tuple[ChainLink, ...]
    complete: bool

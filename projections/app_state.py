"""The table `app_state`, one row a key."""

from typing import Annotated

import msgspec

from domain import app_state
from domain.app_state import Entry
from domain.messages import Key
from projections.table import Row, Table


class GetAppState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one key holds."""

    key: Key


class CountAppState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All keys."""


class ListAppState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All keys with what they hold, in order."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: str | None = None


def _row(entry: Entry, version: int, position: int) -> Row:
    return (entry.key, bytes(entry.value).decode(), entry.updated_at, version, position)


TABLE = Table(
    name=app_state.TABLE,
    columns=("key", "value", "updated_at", "version", "position"),
    row=_row,
    get_query=GetAppState,
    key_of=lambda query: str(query.key),
    count_query=CountAppState,
    list_query=ListAppState,
    json_columns=frozenset({"value"}),
)

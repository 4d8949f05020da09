"""The table `app_state`, with one row for each key."""

from typing import Annotated, Any

import msgspec

from domain import app_state
from domain.app_state import Entry
from domain.messages import Key, about
from projections.table import Prefix, Row, Table, page_query


class GetAppState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The value of one key."""

    key: Key


class CountAppState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys that have a value: all, or those that begin with `prefix`."""

    prefix: Prefix | None = None


class AppStateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key and its value. Times are milliseconds since the epoch."""

    key: str
    value: Annotated[Any, about("any JSON")]
    updated_at: int
    version: Annotated[int, about("the version of its stream")]
    position: Annotated[int, about("the position of its last event")]
    expires_at: Annotated[int | None, about("when the value expires")]


def _row(entry: Entry, version: int, position: int) -> Row:
    return (
        entry.key,
        bytes(entry.value).decode(),
        entry.updated_at,
        version,
        position,
        entry.expires_at,
    )


TABLE = Table(
    name=app_state.TABLE,
    shape=AppStateRow,
    row=_row,
    get_query=GetAppState,
    key_of=lambda query: str(query.key),
    count_query=CountAppState,
    list_query=page_query(
        CountAppState, "Keys with their values, in order: all, or those that begin with `prefix`."
    ),
    expiry_column="expires_at",
    mirrored=True,
)

"""Keys of events' data have columns in a lake, as far as their names let them."""

from datetime import date
from decimal import Decimal

from domain.catalogue import EVENT_TYPES
from domain.messages import Event
from ops.analytics.lake.columns import log_columns, promoted_columns, promoted_of


class ItemAdded(Event, frozen=True, kw_only=True, rename="kebab"):
    article: str
    item_no: int


class Hostile(
    Event, frozen=True, kw_only=True, rename={"a": "x'", "b": "X", "c": "1", "d": "é", "e": "select 1"}
):
    a: str
    b: str
    c: str
    d: str
    e: str


class Weighed(Event, frozen=True, kw_only=True):
    article: int
    weight: float


def test_what_json_has_as_a_text_is_a_column_of_texts():
    class Billed(Event, frozen=True, kw_only=True):
        total: Decimal
        due_on: date | None = None

    assert promoted_of([], [Billed]) == {"data_due_on": "VARCHAR", "data_total": "VARCHAR"}


def test_a_key_that_is_no_plain_name_of_a_column_gets_none():
    assert promoted_of([], [ItemAdded, Hostile]) == {"data_article": "VARCHAR"}


class Received(Event, frozen=True, kw_only=True):
    bytes: int
    hash: str


def test_a_key_whose_column_would_be_called_as_one_of_every_log_gets_none():
    assert promoted_of([], [Received]) == {"data_hash": "VARCHAR"}
    assert all(name == name.lower() for name in log_columns())
    assert log_columns()["data_bytes"] == "BLOB"


def test_a_key_of_others_that_is_one_of_ours_keeps_our_kind():
    assert promoted_of([ItemAdded], [Weighed]) == {"data_article": "VARCHAR", "data_weight": "DOUBLE"}


def test_keys_of_our_own_events_have_columns():
    assert {"data_priority", "data_queue"} <= promoted_columns().keys()
    assert promoted_of(EVENT_TYPES.values(), []) == promoted_columns()

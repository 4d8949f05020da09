"""What a row of an installed aggregate has to be."""

from typing import Any

import msgspec
import pytest

from domain.decider import Aggregate
from domain.errors import TooLarge
from domain.messages import Event
from ops.store.tables import MAXIMUM_ROW_BYTES, Tables
from projections import tables
from projections.derived import table_of
from tests.support.domain.doors import door, verb


class Opened(Event, frozen=True, kw_only=True):
    who: str


class Door(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    who: str


@pytest.mark.parametrize(
    ("character", "bytes_in_json"), [("x", 1), ("\n", 2), ("界", 3), ("😀", 4), ("\x01", 6)]
)
def test_a_row_that_no_answer_can_hold_is_refused_whatever_its_characters(
    monkeypatch: pytest.MonkeyPatch, character: str, bytes_in_json: int
) -> None:
    decider: Any = door(state=Door, events={"door.opened.v1": Opened}, verbs=(verb(),))
    monkeypatch.setitem(tables.TABLES, decider.table, table_of(decider))
    most = MAXIMUM_ROW_BYTES // bytes_in_json

    def require(characters: int) -> None:
        row = Door(id="front", who=character * characters)
        Tables().require_row(decider.table, "front", Aggregate(1, 1, row))

    require(most - 1_000)
    with pytest.raises(TooLarge):
        require(most)

"""A column of a lake's log has what a key means in each type of event, as far as it can hold that."""

from typing import Any

import msgspec
import pytest

from domain.messages import Event
from ops.analytics.export.event_files import defaults_of


@pytest.mark.parametrize(
    ("kind", "held", "not_held"),
    [
        ("BIGINT", [0, -1, 2**63 - 1], ["high", True, 1.5, 2**63, (), msgspec.UNSET, None]),
        ("VARCHAR", ["", "high"], [0, True, (), msgspec.UNSET, None]),
        ("DOUBLE", [0.5, 1], ["high", False, float("nan"), float("inf"), None]),
        ("BOOLEAN", [True, False], [0, "yes", 0.0, None]),
    ],
)
def test_a_default_of_another_kind_than_the_column_is_none_there(
    kind: str, held: list[Any], not_held: list[Any]
) -> None:
    types = {
        str(place): msgspec.defstruct("Said", [("key", Any, default)], bases=(Event,), frozen=True)
        for place, default in enumerate([*held, *not_held])
    }

    assert list(defaults_of(types, {"key": kind})["key"].values()) == held

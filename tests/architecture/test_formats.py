"""Each format that is stored or sent has a number, and gets the next one when its shape changes."""

from typing import Literal

import msgspec
import pytest

from tests.support.documents.kept_formats import FORMATS, recorded, shape_of, with_shapes


def test_each_format_is_as_it_was_recorded_under_its_number() -> None:
    record = recorded()
    assert record.keys() == FORMATS.keys()
    # After a change that the number allows, or with a new number: `make formats`.
    assert {name: shape_of(kind) for name, (kind, _) in FORMATS.items()} == {
        name: record[name].get(str(number)) for name, (_, number) in FORMATS.items()
    }


class Kept(msgspec.Struct):
    name: str
    size: int = 0


def kept(*fields: tuple[str, type] | tuple[str, type, object], forbid_unknown_fields: bool = False) -> type:
    return msgspec.defstruct("Kept", fields, kw_only=True, forbid_unknown_fields=forbid_unknown_fields)


def test_a_format_grows_under_its_number_and_changes_with_another() -> None:
    record = with_shapes({}, {"it": (Kept, 1)})
    grown = kept(("name", str), ("size", int, 0), ("note", str, ""))
    assert with_shapes(record, {"it": (grown, 1)})["it"]["1"] == shape_of(grown)

    for other in (
        kept(("name", str)),
        kept(("name", int), ("size", int, 0)),
        kept(("name", str), ("size", int, 1)),
        kept(("name", str), ("size", int, 0), ("note", str)),
        kept(("title", str), ("size", int, 0)),
        kept(("name", str), ("size", int, 0), forbid_unknown_fields=True),
    ):
        with pytest.raises(ValueError, match="give it the next number"):
            with_shapes(record, {"it": (other, 1)})
        assert with_shapes(record, {"it": (other, 2)})["it"].keys() == {"1", "2"}

    # A reader refuses a word that it does not know.
    words = with_shapes({}, {"it": (Literal["one", "two"], 1)})
    with pytest.raises(ValueError, match="give it the next number"):
        with_shapes(words, {"it": (Literal["one", "two", "three"], 1)})

    # A strict reader refuses unknown fields, so even a field with a default needs the next number.
    strict = with_shapes({}, {"it": (kept(("name", str), forbid_unknown_fields=True), 1)})
    with pytest.raises(ValueError, match="give it the next number"):
        with_shapes(strict, {"it": (kept(("name", str), ("size", int, 0), forbid_unknown_fields=True), 1)})

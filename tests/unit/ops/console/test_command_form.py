"""A form that follows from the struct of a command."""

import msgspec
import pytest

from domain.errors import Invalid
from ops.console.command_form import FormField, body_of, fields_of
from tests.support.aggregates.parcel import Set

FIELDS = fields_of(Set)


def field(name: str) -> FormField:
    return next(one for one in FIELDS if one.name == name)


def test_each_field_is_of_the_kind_that_its_values_are_written_in() -> None:
    kinds = {one.name: one.kind for one in FIELDS}

    assert kinds == {
        "id": "text",
        "title": "text",
        "note": "text",
        "weight": "number",
        "pieces": "number",
        "fragile": "choice",
        "kind": "choice",
        "colour": "choice",
        "due_at": "time",
        "lines": "json",
        "anything": "json",
        "day": "text",
        "command_id": "text",
        "version": "number",
        "token": "text",
    }
    assert [one.name for one in FIELDS if one.is_long] == ["note", "lines", "anything"]
    assert [one.name for one in FIELDS if one.is_required] == ["id", "title"]
    assert field("title").meaning == "what is written on it"


def test_what_holds_where_a_field_is_left_out_is_the_same_command_written_or_not() -> None:
    needed = {"id": "a", "title": "t"}
    written = needed | {one.name: one.otherwise for one in FIELDS if one.otherwise}
    assert written.keys() > needed.keys()

    def command(said: dict[str, str]) -> Set:
        return msgspec.json.decode(msgspec.json.encode(body_of(FIELDS, said)), type=Set)

    assert command(written) == command(needed)


def test_numbers_and_json_go_on_as_they_were_written() -> None:
    said = {"id": "a", "title": "t", "weight": "0.10000000000000000001", "anything": '{"a": 1e-400}'}

    body = msgspec.json.encode(body_of(FIELDS, said))

    assert b'"weight":0.10000000000000000001' in body
    assert b'{"a": 1e-400}' in body


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("weight", "1,5"),
        ("weight", "NaN"),
        ("weight", "1 "),
        ("weight", "9" * 400),
        ("pieces", "0x1"),
        ("pieces", "\u0661"),
        ("kind", "Letter"),
        ("due_at", "\u0661"),
        ("due_at", "yesterday"),
        ("lines", "[1,]"),
        ("title", ""),
    ],
)
def test_what_is_none_of_a_fields_values_is_refused_with_its_name(name: str, written: str) -> None:
    with pytest.raises(Invalid) as refused:
        body_of(FIELDS, {"id": "a", "title": "t", name: written})

    assert refused.value.details["path"] == name

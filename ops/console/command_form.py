"""Forms made from the structs of commands: `FormField`, `fields_of`, `body_of`.

Texts, numbers, times and choices have fields of their kind. Any other value is typed as JSON.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import msgspec
from msgspec import inspect

from domain.errors import Invalid
from ops.console.rendering import is_time, words
from ops.console.written import json_written, number_written, time_written

Kind = Literal["text", "number", "time", "choice", "json"]
# A text that may be longer gets a field of several lines.
MAXIMUM_LINE_CHARACTERS = 1_000


class FormField(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a form. An empty field is left out of the command, unless it `is_required`.

    `offers` are the values of a choice by their texts, `otherwise` is the text of the default, and
    `most_characters` the longest text.
    """

    name: str
    label: str
    kind: Kind
    is_required: bool
    offers: Mapping[str, Any] = {}
    otherwise: str = ""
    meaning: str = ""
    most_characters: int | None = None

    @property
    def is_long(self) -> bool:
        """Whether it takes several lines."""
        is_long = self.most_characters is not None and self.most_characters > MAXIMUM_LINE_CHARACTERS
        return self.kind == "json" or is_long

    def value(self, written: str) -> Any:
        """The value that a text in this field stands for.

        Raises:
            Invalid: the text is no value of this field; `details.path` names the field.
        """
        match self.kind:
            case "choice" if written not in self.offers:
                raise Invalid(f"{self.label} is one of {', '.join(self.offers)}", path=self.name)
            case "choice":
                return self.offers[written]
            case "number":
                return number_written(written, f"{self.label} is a number", path=self.name)
            case "time" if not written.removeprefix("-").isdigit():
                return time_written(written, path=self.name)
            case "time":
                return number_written(written, f"{self.label} is a time", path=self.name)
            case "json":
                return json_written(written, f"{self.label} is not JSON", path=self.name)
        return written


@cache
def fields_of(command: type[msgspec.Struct]) -> tuple[FormField, ...]:
    """The fields of a form for a command, in the order of the struct's."""
    described = inspect.type_info(command)
    assert isinstance(described, inspect.StructType)
    return tuple(map(_field, described.fields))


def body_of(fields: Sequence[FormField], written: Mapping[str, str]) -> dict[str, Any]:
    """The body of the command that a form sends; JSON and numbers are in it as they were typed.

    Raises:
        Invalid: a field is missing or wrong; `details.path` names it.
    """
    body = {}
    for field in fields:
        if said := written.get(field.name, ""):
            body[field.name] = field.value(said)
        elif field.is_required:
            raise Invalid(f"{field.label} is missing", path=field.name)
    return body


def _field(field: inspect.Field) -> FormField:
    kind, meaning = _single(field.type)
    offers = _offers(kind)
    return FormField(
        name=field.encode_name,
        label=words(field.encode_name),
        kind=_kind(field.encode_name, kind, offers),
        is_required=field.required,
        offers=offers,
        otherwise=_otherwise(field, offers),
        meaning=meaning,
        most_characters=getattr(kind, "max_length", None) if isinstance(kind, inspect.StrType) else None,
    )


def _kind(name: str, kind: inspect.Type, offers: Mapping[str, Any]) -> Kind:
    if offers:
        return "choice"
    match kind:
        case inspect.StrType() | inspect.DateTimeType() | inspect.DateType() | inspect.UUIDType():
            return "text"
        case inspect.DecimalType() | inspect.TimeType() | inspect.TimeDeltaType():
            return "text"
        case inspect.IntType():
            return "time" if is_time(name) else "number"
        case inspect.FloatType():
            return "number"
    return "json"


def _single(kind: inspect.Type, meaning: str = "") -> tuple[inspect.Type, str]:
    """The type of a value that may be null or left out, and what the field means."""
    if isinstance(kind, inspect.Metadata):
        return _single(kind.type, meaning or (kind.extra_json_schema or {}).get("description", ""))
    if isinstance(kind, inspect.UnionType):
        left = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        if len(left) == 1:
            return _single(left[0], meaning)
    return kind, meaning


def _offers(kind: inspect.Type) -> dict[str, Any]:
    match kind:
        case inspect.BoolType():
            return {"yes": True, "no": False}
        case inspect.LiteralType(values=values):
            return {str(one): one for one in values if one is not None}
        case inspect.EnumType(cls=cls):
            return {str(one.value): one.value for one in cls}
    return {}


def _otherwise(field: inspect.Field, offers: Mapping[str, Any]) -> str:
    value = field.default_factory() if callable(field.default_factory) else field.default
    if value is None or value is msgspec.UNSET or value is msgspec.NODEFAULT:
        return ""
    if isinstance(value, str):
        return value
    encoded = msgspec.json.encode(value).decode()
    plain = msgspec.json.decode(encoded)
    return next((written for written, one in offers.items() if one == plain), encoded)

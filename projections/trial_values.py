"""Values, as in JSON, of any type that msgspec knows: `command_of` makes the commands of a trial."""

from typing import Any

import msgspec
from msgspec import inspect

from domain.messages import KEY_PART_PATTERN, KEY_PATTERN

KEY = "trial"
# The deepest nesting of structs, since a struct may hold its own type.
MAXIMUM_DEPTH = 8
_PATTERNS = {KEY_PATTERN: KEY, KEY_PART_PATTERN: KEY}
_TEXTS: dict[Any, str] = {
    inspect.DateTimeType: "2026-01-01T00:00:00Z",
    inspect.DateType: "2026-01-01",
    inspect.TimeType: "00:00:00",
    inspect.TimeDeltaType: "PT1S",
    inspect.UUIDType: "01a22990-a097-79a9-825e-cbfb1cfa9407",
    inspect.DecimalType: "1.5",
    inspect.BytesType: "dHJpYWw=",
    inspect.AnyType: "trial",
    inspect.RawType: "trial",
}


class NoValueError(ValueError):
    """No value of a type is known, for instance of a text with its own pattern."""


def command_of(kind: type[msgspec.Struct], number: int) -> Any:
    """A command that a struct allows; other numbers give other commands.

    Raises:
        NoValueError: a field is required, and no value of its type is known.
    """
    try:
        return msgspec.convert(_value(inspect.type_info(kind), number, 0), kind, strict=False)
    except msgspec.ValidationError as error:
        raise NoValueError(str(error)) from error


def _value(kind: Any, number: int, depth: int) -> Any:
    if depth > MAXIMUM_DEPTH:
        raise NoValueError("it is too deep")
    match kind:
        case inspect.StructType():
            return _fields(kind, number, depth)
        case inspect.Metadata(type=inner):
            return _value(inner, number, depth)
        case inspect.UnionType(types=types):
            held = [one for one in types if not isinstance(one, inspect.NoneType)]
            return _value(held[number % len(held)], number, depth)
        case inspect.BoolType():
            return number % 2 == 0
        case inspect.IntType() | inspect.FloatType():
            return _number(kind, number)
        case inspect.StrType():
            return _text(kind, number)
        case inspect.LiteralType(values=values):
            return values[number % len(values)]
        case inspect.EnumType(cls=cls):
            members = list(cls)
            return members[number % len(members)].value
        case inspect.TupleType(item_types=items):
            return [_value(one, number, depth + 1) for one in items]
        case inspect.DictType(key_type=key, value_type=value):
            return {_value(key, number, depth + 1): _value(value, number, depth + 1)}
        case inspect.CollectionType(item_type=item, min_length=least):
            return [_value(item, number + place, depth + 1) for place in range(least or 1)]
    if type(kind) in _TEXTS:
        return _TEXTS[type(kind)]
    raise NoValueError(f"no value of {kind!r} is known")


def _fields(kind: inspect.StructType, number: int, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in kind.fields:
        # Optional fields are left out every second time; never a key, so that all is about one aggregate.
        if not (field.required or number % 2 or _is_key(field.type)):
            continue
        try:
            found[field.encode_name] = _value(field.type, number, depth + 1)
        except NoValueError:
            if field.required:
                raise
    return found


def _is_key(kind: Any) -> bool:
    held = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return any(isinstance(one, inspect.StrType) and one.pattern == KEY_PATTERN for one in held)


def _number(kind: inspect.IntType | inspect.FloatType, number: int) -> float:
    least = kind.ge if kind.ge is not None else kind.gt + 1 if kind.gt is not None else 1
    most = kind.le if kind.le is not None else kind.lt - 1 if kind.lt is not None else least + number
    return max(least, min(least + number, most))


def _text(kind: inspect.StrType, number: int) -> str:
    if kind.pattern is not None:
        if kind.pattern not in _PATTERNS:
            raise NoValueError(f"no text like {kind.pattern} is known")
        return _PATTERNS[kind.pattern]
    text = f"trial {number}".ljust(kind.min_length or 0, ".")
    return text if kind.max_length is None else text[: kind.max_length]

"""Annotations as types, and whether JSON can hold the values of these."""

from collections.abc import Iterator, Mapping
from inspect import Parameter
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from domain.installed.error import AggregateError

_ANYTHING = (Parameter.empty, object, Any)


def resolved(annotation: Any, module: str, names: Mapping[str, Any]) -> Any:
    """The type that an annotation in a module stands for; `Any` where there is none.

    `names` are those of the class around it, which are looked at last.

    Raises:
        NameError, TypeError, AttributeError, SyntaxError: it stands for none.
    """
    if annotation in _ANYTHING:
        return Any
    # A class of that module, since Python looks up the names of a textual annotation in the class's module.
    holder = type("Holder", (), {"__module__": module, "__annotations__": {"one": annotation}})
    try:
        return get_type_hints(holder, include_extras=True)["one"]
    except NameError:
        return get_type_hints(holder, localns=dict(names), include_extras=True)["one"]


def required_hint(annotation: Any, kind: type, where: str) -> Any:
    """The type of an annotation that has to have one.

    Raises:
        AggregateError: a name in it is not defined.
    """
    try:
        return resolved(annotation, kind.__module__, vars(kind))
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise AggregateError(
            where,
            f"its annotation {annotation!r} cannot be resolved ({error})",
            hint="import what it names at the top of the module, not for type checkers alone",
        ) from error


def without_none(hint: Any) -> tuple[Any, bool]:
    """A type without `None` and without what only describes it, and whether it may be `None`."""
    if get_origin(hint) is Annotated:
        return without_none(get_args(hint)[0])
    kinds = [one for one in get_args(hint) if one is not NoneType]
    if len(kinds) == 1 and NoneType in get_args(hint):
        return without_none(kinds[0])[0], True
    return hint, hint in (None, NoneType, Any) or NoneType in get_args(hint)


def why_not_json(hint: Any) -> str | None:
    """Why JSON cannot hold values of a type, or cannot give them back; `None` where it can."""
    try:
        unknown = next(_unknown_in(inspect.type_info(hint), set()), None)
        if unknown is not None:
            return f"{unknown} is no type that JSON can hold"
        msgspec.json.Decoder(hint)
        msgspec.json.schema(hint)
    except (TypeError, NameError, RecursionError) as error:
        return " ".join(str(error).split())
    return None


def require_json(hint: Any, where: str) -> Any:
    """The type, if JSON can hold it.

    Raises:
        AggregateError: it cannot.
    """
    if (reason := why_not_json(hint)) is not None:
        raise AggregateError(
            where, reason, hint="make it a dataclass, an Enum or a type that has a form in JSON"
        )
    return hint


def classes_in(hint: Any) -> Iterator[type]:
    """All classes that a type mentions."""
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for one in get_args(hint):
        yield from classes_in(one)


def _unknown_in(described: Any, seen: set[int]) -> Iterator[str]:
    """The names of types below this one that msgspec does not know."""
    if id(described) in seen:
        return
    seen.add(id(described))
    if isinstance(described, inspect.CustomType):
        yield getattr(described.cls, "__name__", str(described.cls))
    elif isinstance(described, msgspec.Struct):
        for name in described.__struct_fields__:
            yield from _unknown_in(getattr(described, name), seen)
    elif isinstance(described, tuple):
        for one in described:
            yield from _unknown_in(one, seen)

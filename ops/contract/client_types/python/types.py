"""Types as they are written in a source."""

from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from bus.contract.log_answers import CloudEvent
from domain import messages

# Types that are written once, in `commands/fields.py`, and used by their names.
NAMED: dict[str, Any] = {name: getattr(messages, name) for name in ("Key", "KeyPart", "Time", "Text", "Name")}
_SIMPLE: Mapping[Any, str] = {
    NoneType: "None",
    Any: "Any",
    msgspec.Raw: "Any",
    # For the reader of an answer, a field that is left out is `None`.
    msgspec.UnsetType: "None",
    CloudEvent: "ChangeEvent",
}


def of_command(kind: Any) -> str:
    """The type of a command's field: with its bounds, and any sequence in the place of a tuple."""
    for name, named in NAMED.items():
        if kind == named:
            return name
    if get_origin(kind) is Annotated and (bounds := _bounds(kind)):
        return f"Annotated[{of_command(get_args(kind)[0])}, {', '.join(map(repr, bounds))}]"
    return _sent(kind, of_command)


def of_argument(kind: Any) -> str:
    """The type of an argument: as a command's field, without bounds."""
    return _sent(kind, of_argument)


def _sent(kind: Any, write: Callable[[Any], str]) -> str:
    def of_tuple(parts: tuple[Any, ...]) -> str:
        return f"Sequence[{write(parts[0])}]" if parts[-1] is Ellipsis else _tuple_of(parts, write)

    # A caller may give any sequence or set.
    if get_origin(kind) in (set, frozenset):
        return f"Set[{write(get_args(kind)[0])}]"
    return _written(kind, write, of_tuple)


def of_answer(kind: Any) -> str:
    """The type of an answer's field."""
    return _written(kind, of_answer, lambda parts: _tuple_of(parts, of_answer))


def words_in(kind: Any) -> tuple[str, ...] | None:
    """The texts of a type that is a closed set of texts, or such a set or nothing; `None` for other types."""
    if get_origin(kind) is Literal and all(isinstance(word, str) for word in get_args(kind)):
        return get_args(kind)
    if get_origin(kind) in (Annotated, Union, UnionType):
        parts = [part for part in get_args(kind) if part not in (NoneType, msgspec.UnsetType)]
        return words_in(parts[0])
    return None


def literal(values: Iterable[Any]) -> str:
    """The literal type of these values, as it is written."""
    return f"Literal[{', '.join(map(quoted, values))}]"


def quoted(value: Any) -> str:
    """A value as it is written; a text is in double quotes, unless that would need escapes."""
    written = repr(value)
    return f'"{value}"' if written == f"'{value}'" and '"' not in written else written


def _bounds(kind: Any) -> list[msgspec.Meta]:
    """The bounds of an annotated type, without mere descriptions."""
    metas = [one for one in get_args(kind)[1:] if isinstance(one, msgspec.Meta)]
    return [one for one in metas if one != msgspec.Meta(description=one.description)]


def _tuple_of(parts: Iterable[Any], write: Callable[[Any], str]) -> str:
    return f"tuple[{', '.join('...' if part is Ellipsis else write(part) for part in parts)}]"


def _written(kind: Any, write: Callable[[Any], str], of_tuple: Callable[[tuple[Any, ...]], str]) -> str:
    parts = get_args(kind)
    match get_origin(kind):
        case None:
            return _SIMPLE.get(kind) or kind.__name__
        case origin if origin is Annotated:
            return write(parts[0])
        case origin if origin is Literal:
            return literal(parts)
        case origin if origin in (Union, UnionType):
            return " | ".join(dict.fromkeys(map(write, parts)))
        case origin if origin is tuple:
            return of_tuple(parts)
        case origin:
            return f"{origin.__name__}[{', '.join(map(write, parts))}]"

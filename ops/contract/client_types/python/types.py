"""Types as they are written in a source."""

from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from bus.contract.log_answers import CloudEvent
from domain import messages

# What is written once, in `commands/fields.py`, and meant by its name.
NAMED: dict[str, Any] = {name: getattr(messages, name) for name in ("Key", "KeyPart", "Time", "Text", "Name")}
_SIMPLE: Mapping[Any, str] = {
    NoneType: "None",
    Any: "Any",
    msgspec.Raw: "Any",
    # What is left out is nothing for a reader.
    msgspec.UnsetType: "None",
    CloudEvent: "ChangeEvent",
}


def of_command(kind: Any) -> str:
    """A field of a command: with its bounds, and any sequence for a tuple."""
    for name, named in NAMED.items():
        if kind == named:
            return name
    if get_origin(kind) is Annotated and (bounds := _bounds(kind)):
        return f"Annotated[{of_command(get_args(kind)[0])}, {', '.join(map(repr, bounds))}]"
    return _sent(kind, of_command)


def of_argument(kind: Any) -> str:
    """The same as an argument: without bounds."""
    return _sent(kind, of_argument)


def _sent(kind: Any, write: Callable[[Any], str]) -> str:
    def of_tuple(parts: tuple[Any, ...]) -> str:
        return f"Sequence[{write(parts[0])}]" if parts[-1] is Ellipsis else _tuple_of(parts, write)

    # Whatever is a sequence or a set to its caller.
    if get_origin(kind) in (set, frozenset):
        return f"Set[{write(get_args(kind)[0])}]"
    return _written(kind, write, of_tuple)


def of_answer(kind: Any) -> str:
    """A field of an answer."""
    return _written(kind, of_answer, lambda parts: _tuple_of(parts, of_answer))


def words_in(kind: Any) -> tuple[str, ...] | None:
    """The words of a closed set of texts that a type is, if it is one; it may be nothing, too."""
    if get_origin(kind) is Literal and all(isinstance(word, str) for word in get_args(kind)):
        return get_args(kind)
    if get_origin(kind) in (Annotated, Union, UnionType):
        parts = [part for part in get_args(kind) if part not in (NoneType, msgspec.UnsetType)]
        return words_in(parts[0])
    return None


def literal(values: Iterable[Any]) -> str:
    """One of these values, as it is written."""
    return f"Literal[{', '.join(map(quoted, values))}]"


def quoted(value: Any) -> str:
    """A value as it is written; a text in double quotes where it needs no escapes for that."""
    written = repr(value)
    return f'"{value}"' if written == f"'{value}'" and '"' not in written else written


def _bounds(kind: Any) -> list[msgspec.Meta]:
    """The bounds of an annotated type, without what is only said of it."""
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

"""The row of an aggregate: its id, its public attributes as columns, its times, version and position."""

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin
from uuid import UUID

import msgspec

from domain.installed.error import AggregateError
from domain.installed.library.anatomy import Anatomy
from domain.installed.library.annotations import why_not_json, without_none
from domain.installed.library.attributes import Attribute
from domain.installed.library.keeping import CannotKeepError, Keeper
from domain.installed.library.names import camel, singular, snake
from domain.installed.library.states import LibraryState
from domain.installed.reserved import KEYWORDS
from domain.messages import about

# The columns of every row, before and after the attributes.
_FIRST = ("id", str)
_LAST = (
    ("created_at", Annotated[int, about("milliseconds since the epoch")]),
    ("updated_at", Annotated[int, about("milliseconds since the epoch")]),
    ("version", Annotated[int, about("the version of its stream")]),
    ("position", Annotated[int, about("the position of its last event")]),
)
# Types whose values stand in rows as texts: what the text is, and its format in JSON Schema, if it has one.
_TEXTS: dict[type, tuple[str, str | None]] = {
    Decimal: ("a decimal number", "decimal"),
    UUID: ("a UUID", "uuid"),
    datetime: ("a time, as in ISO 8601", "date-time"),
    date: ("a day, as in ISO 8601", "date"),
    time: ("a time of day, as in ISO 8601", "time"),
    timedelta: ("a length of time, as in ISO 8601", "duration"),
    bytes: ("bytes, as base64", None),
}
# The integers that SQLite has.
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
# The names that a column may have.
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MISSING: Any = object()
# In an order that does not depend on insertion, so that a row that is made anew is the same to the byte.
_JSON = msgspec.json.Encoder(order="deterministic")
_Cell = Callable[[Any], Any]


class Column(msgspec.Struct, frozen=True):
    """One attribute in the row: the type of its field, and the function from a kept value to the stored one.

    `otherwise` is the class's value of the attribute, for aggregates that have none of their own.
    """

    name: str
    kept_as: str
    hint: Any
    cell: _Cell
    otherwise: Any


class Row:
    """The shape of an aggregate's row, and the function that makes one."""

    def __init__(
        self, anatomy: Anatomy, table: str, attributes: tuple[Attribute, ...], keeper: Keeper
    ) -> None:
        self._where = anatomy.where
        taken = {_FIRST[0], *(name for name, _ in _LAST), *KEYWORDS}
        self._columns = tuple(_column(anatomy, one, taken, table, keeper) for one in attributes)
        fields = [_FIRST, *((one.name, one.hint) for one in self._columns), *_LAST]
        seen: set[str] = set()
        for name, _ in fields:
            if name in seen:
                raise AggregateError(
                    f"{anatomy.where}.{name}",
                    "another attribute has the same name in the row",
                    "rename one of them, or begin it with an underscore",
                )
            seen.add(name)
        self.shape = msgspec.defstruct(
            f"{camel(singular(table))}Row",
            fields,
            module=f"{anatomy.kind.__module__}.{anatomy.kind.__name__}",
            namespace={"__doc__": f"A row of `{table}`. Times are milliseconds since the epoch."},
            frozen=True,
            kw_only=True,
        )

    def __call__(self, state: LibraryState, version: int, position: int) -> tuple[Any, ...]:
        """The columns of a state.

        Raises:
            TypeError: the value of an attribute does not have the type of its column.
        """
        attributes = state.attributes
        cells = []
        for one in self._columns:
            try:
                cells.append(one.cell(attributes.get(one.kept_as, one.otherwise)))
            except TypeError as error:
                raise TypeError(f"{self._where}: the attribute {one.kept_as} {error}") from None
        return (state.key, *cells, state.created_at, state.updated_at, version, position)


def _column(anatomy: Anatomy, attribute: Attribute, taken: set[str], table: str, keeper: Keeper) -> Column:
    name = attribute.name if _COLUMN.fullmatch(attribute.name) else snake(attribute.name)
    if name in taken:
        name = f"{singular(table)}_{name}"
    bare, may_be_none = without_none(attribute.hint)
    may_be_none = may_be_none or not attribute.is_always
    hint, cell = _single(bare, keeper)
    if hint is None:
        hint = Any if why_not_json(bare) is not None else bare
        cell = _json_cell(keeper)
    if hint is not Any and may_be_none:
        hint, cell = hint | None, _or_null(cell)
    if name != attribute.name:
        # The schema of the row tells which attribute the column holds.
        hint = Annotated[hint, about(f"the attribute `{attribute.name}`, as no column can be called so")]
    return Column(name, attribute.kept_as, hint, cell, _otherwise(anatomy, attribute.kept_as, keeper))


def _otherwise(anatomy: Anatomy, name: str, keeper: Keeper) -> Any:
    """The class's own value of an attribute, such as a dataclass's default; `_MISSING` without one."""
    member = anatomy.members.get(name, (None, _MISSING))[1]
    try:
        return member if member is _MISSING else keeper.keep(member)
    except CannotKeepError:
        return _MISSING


def _single(kind: Any, keeper: Keeper) -> tuple[Any, _Cell]:
    """The field and the cell of a type whose values are single ones; the field is `None` for other types."""
    if kind in _TEXTS:
        said, text_format = _TEXTS[kind]
        meta = msgspec.Meta(
            description=said, extra_json_schema=None if text_format is None else {"format": text_format}
        )
        return Annotated[str, meta], _text_cell
    if kind is str:
        return str, _plain_cell(str)
    if kind is int:
        return int, _integer_cell
    if kind is float:
        return float, _real_cell
    if kind is bool:
        return bool, _boolean_cell
    if get_origin(kind) is Literal:
        kinds = {type(one) for one in get_args(kind)}
        if kinds in ({str}, {int}):
            return kind, _plain_cell(kinds.pop())
    if isinstance(kind, type) and issubclass(kind, Enum):
        values = [one.value for one in kind]
        if {type(one) for one in values} in ({str}, {int}):
            return Literal[tuple(values)], lambda kept: _enum_cell(kept, keeper)
    return None, _plain_cell(NoneType)


def _plain_cell(kind: type) -> _Cell:
    def cell(kept: Any) -> Any:
        if type(kept) is not kind:
            raise _another(kept, kind.__name__)
        return kept

    return cell


def _text_cell(kept: Any) -> Any:
    if type(kept) is dict and len(kept) == 1:
        (text,) = kept.values()
        if type(text) is str:
            return text
    if type(kept) is int:
        # A sum of Decimals that begins with 0 is an `int` until something is added.
        return str(kept)
    raise _another(kept, "a value of the type that is known of it")


def _integer_cell(kept: Any) -> Any:
    if type(kept) is not int or not _SMALLEST <= kept <= _LARGEST:
        raise _another(kept, "an int of 64 bits")
    return kept


def _real_cell(kept: Any) -> Any:
    if type(kept) not in (int, float):
        raise _another(kept, "a float")
    return float(kept)


def _boolean_cell(kept: Any) -> Any:
    if type(kept) is not bool:
        raise _another(kept, "a bool")
    return int(kept)


def _enum_cell(kept: Any, keeper: Keeper) -> Any:
    told = keeper.told(kept) if type(kept) is dict else _MISSING
    if type(told) not in (str, int):
        raise _another(kept, "a member of its Enum")
    return told


def _json_cell(keeper: Keeper) -> _Cell:
    def cell(kept: Any) -> str:
        return _JSON.encode(None if kept is _MISSING else keeper.told(kept)).decode()

    return cell


def _or_null(cell: _Cell) -> _Cell:
    return lambda kept: None if kept is None or kept is _MISSING else cell(kept)


def _another(kept: Any, expected: str) -> TypeError:
    if kept is _MISSING:
        return TypeError("has no value, and its column takes no null: annotate it as `… | None`")
    return TypeError(
        f"holds a {type(kept).__name__} where its column takes {expected}: annotate what it may hold"
    )

"""`table_of`: the table of an aggregate from another package, made of its decider and a struct of its rows.

It makes the columns, the queries and the filters.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec

from domain.decider import EXPIRE, Decider
from domain.installed.error import AggregateError
from domain.installed.reserved import KEYWORDS
from domain.messages import Key, about
from migrations.aggregate_tables import COLUMN_NAME, MAXIMUM_COLUMNS, MAXIMUM_INDEXES, Column
from projections.table import Prefix, Row, Table, as_text, page_query, places_of, single

# The columns that every row has: the version in its stream, and the position in the log.
VERSION, POSITION = "version", "position"
_PLACES = {
    VERSION: Annotated[int, about("the version of its stream")],
    POSITION: Annotated[int, about("the position of its last event")],
}
_KINDS: dict[Any, Literal["INTEGER", "REAL", "TEXT"]] = {
    bool: "INTEGER",
    int: "INTEGER",
    float: "REAL",
    str: "TEXT",
}
# The parameters of lists, histories and moments, beside the key and the filters.
_ASKED = frozenset({"after", "by", "limit", "position", "prefix", "time"})
# The integers that SQLite can store.
_STORED = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


def table_of(
    decider: Decider,
    shape: type[msgspec.Struct] | None = None,
    *,
    row: Callable[[Any, int, int], Row] | None = None,
    filters: Sequence[str] = (),
    expiry: str | None = None,
    mirrored: bool = False,
) -> Table:
    """The table of a decider, with a row for each existing aggregate.

    A row is shown as the struct `shape`. Its first field is the key, and two others are `version` and
    `position`. By default, it has the fields of the decider's state, and these two. Numbers, texts and
    booleans are columns of their type; values that JSON has as one text (a `Decimal`, a `date`) are texts;
    all others are JSON. The columns are the state's attributes of the same names, or what `row` makes from
    (state, version, position), in their order. Rows can be listed and counted by each of the `filters`:
    columns that get an index. The column `expiry` holds a time in milliseconds from which on a row is not
    shown; the service then sends the decider's internal verb `expire`, whose event ends the aggregate. From
    that time on, the decider's `exists` has to be false for its state. With `mirrored`, the rows are also in
    the KV bucket `hyperpage_<table>`, for clients that watch them.

    Raises:
        AggregateError: the struct does not make a table.
    """
    shape = _shape_of(decider.state) if shape is None else shape
    _require(decider, shape, filters, has_row=row is not None)
    if expiry is not None:
        _require_expiry(decider, shape, expiry)
    names = shape.__struct_fields__
    get_query = msgspec.defstruct(
        f"Get{_camel(decider.table)}",
        [(names[0], Key)],
        namespace={"__doc__": f"One row of {decider.table}, by its key."},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    filtered = _filter_query(decider.table, shape, filters)
    return Table(
        name=decider.table,
        shape=shape,
        row=_as_stored(row or _row_of(shape)),
        get_query=get_query,
        key_of=lambda query: str(getattr(query, names[0])),
        count_query=_grouping(filtered, filters) if filters else filtered,
        list_query=page_query(filtered, f"Rows of {decider.table}, in the order of their keys."),
        columns_made=columns_of(shape),
        expiry_column=expiry,
        indexed=tuple(dict.fromkeys((*filters, *(() if expiry is None else (expiry,))))),
        mirrored=mirrored,
    )


def columns_of(shape: type[msgspec.Struct]) -> tuple[Column, ...]:
    """The columns for the fields of a struct, the key first. A field that is left out is null."""
    return tuple(
        Column(
            name=field.name,
            kind=_KINDS.get(single(field.type), "TEXT"),
            may_be_null=field.default is msgspec.UNSET or _may_be_null(field.type),
        )
        for field in msgspec.structs.fields(shape)
    )


def _shape_of(state: type[msgspec.Struct]) -> type[msgspec.Struct]:
    fields = [
        (field.name, field.type) for field in msgspec.structs.fields(state) if field.name not in _PLACES
    ]
    return msgspec.defstruct(
        f"{state.__name__}Row",
        [*fields, *_PLACES.items()],
        namespace={"__doc__": state.__doc__},
        frozen=True,
        kw_only=True,
    )


def _require(decider: Decider, shape: type[msgspec.Struct], filters: Sequence[str], *, has_row: bool) -> None:
    names = shape.__struct_fields__
    state = set(decider.state.__struct_fields__)
    fields = {field.name: field.type for field in msgspec.structs.fields(shape)}
    objections = [
        (not 3 <= len(names) <= MAXIMUM_COLUMNS, f"it has {len(names)} columns, not 3 to {MAXIMUM_COLUMNS}"),
        (not {VERSION, POSITION} <= set(names), "it has no `version` and `position`"),
        (single(fields[names[0]]) is not str if names else False, "its first field is no text, as a key is"),
        *(
            (not COLUMN_NAME.fullmatch(name) or name in KEYWORDS, f"{name} is no name of a column")
            for name in names
        ),
        (len(filters) > MAXIMUM_INDEXES - 1, f"it has more than {MAXIMUM_INDEXES - 1} filters"),
        (names[:1] == () or names[0] in _ASKED, f"its first field, the key, is called {names[:1]}"),
        *((name in _ASKED, f"{name} is what every list is asked with, and no filter") for name in filters),
        *((name not in names, f"it has no column {name} to filter by") for name in filters),
        *(
            (single(fields.get(name)) not in _KINDS, f"{name} holds no single values to filter by")
            for name in filters
        ),
        *((not has_row and name not in state | set(_PLACES), f"the state has no {name}") for name in names),
    ]
    for is_wrong, reason in objections:
        if is_wrong:
            raise AggregateError(
                decider.table,
                f"the struct {shape.__name__} makes no table: {reason}",
                "docs/your-own-aggregates.md says what a row is",
            )


def _require_expiry(decider: Decider, shape: type[msgspec.Struct], expiry: str) -> None:
    ending = [verb for verb in decider.verbs if verb.name == EXPIRE and verb.internal]
    kinds = {field.name: single(field.type) for field in msgspec.structs.fields(shape)}
    if not ending or len(ending[0].command.__struct_fields__) != 1 or kinds.get(expiry) is not int:
        raise AggregateError(
            decider.table,
            f"rows cannot expire by {expiry}",
            "it is a column of integers, and the decider has an internal verb `expire`, whose command has the"
            " key alone",
        )


def _filter_query(table: str, shape: type[msgspec.Struct], filters: Sequence[str]) -> type[Any]:
    kinds = {field.name: field.type for field in msgspec.structs.fields(shape)}
    fields: list[Any] = [("prefix", Prefix | None, None)]
    fields += [
        (name, (_STORED if single(kinds[name]) is int else kinds[name]) | None, None) for name in filters
    ]
    return msgspec.defstruct(
        f"Count{_camel(table)}",
        fields,
        namespace={"__doc__": f"Rows of {table}: all, or those that match the filters."},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _grouping(query: type[Any], filters: Sequence[str]) -> type[Any]:
    """The same query with a field `by`, which counts rows by the values of a column."""
    return msgspec.defstruct(
        query.__name__,
        [("by", Literal[tuple(filters)] | None, None)],
        bases=(query,),
        namespace={"__doc__": query.__doc__},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _as_stored(row: Callable[[Any, int, int], Row | None]) -> Callable[[Any, int, int], Row | None]:
    """The same function, with booleans as numbers, and values that JSON has as a text as that text."""

    def stored(state: Any, version: int, position: int) -> Row | None:
        made = row(state, version, position)
        if made is None:
            return None
        return tuple(int(value) if isinstance(value, bool) else as_text(value) for value in made)

    return stored


def _row_of(shape: type[msgspec.Struct]) -> Callable[[Any, int, int], Row]:
    names = shape.__struct_fields__
    of_json, _ = places_of(shape)

    def row(state: Any, version: int, position: int) -> Row:
        own = {VERSION: version, POSITION: position}
        values = [own[name] if name in own else getattr(state, name) for name in names]
        for place in of_json:
            if values[place] is not None:
                values[place] = msgspec.json.encode(values[place]).decode()
        return tuple(values)

    return row


def _may_be_null(kind: Any) -> bool:
    waiting = [msgspec.inspect.type_info(kind)]
    while waiting:
        match waiting.pop():
            case msgspec.inspect.Metadata(type=described):
                waiting.append(described)
            case msgspec.inspect.UnionType(types=types):
                waiting += types
            case msgspec.inspect.LiteralType(values=values) if None in values:
                return True
            case msgspec.inspect.AnyType() | msgspec.inspect.NoneType():
                return True
    return False


def _camel(table: str) -> str:
    return "".join(part.title() for part in table.split("_"))

"""Converts types of installed aggregates to plain ones, of which clients' types are made, with unique names.

Installed aggregates may use all types that msgspec can encode and decode: dataclasses, enumerations, typed
dictionaries, structs with other names in JSON. Here they all become structs, literals, tuples, sets and
dictionaries of single values, as JSON has them.
"""

import keyword
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from math import isfinite
from operator import or_
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from msgspec import inspect

Struct = type[msgspec.Struct]

# Types that are texts in JSON, by their `format` in JSON Schema.
OF_TEXT: Mapping[str, tuple[type, str]] = {
    "decimal": (Decimal, "a decimal number, as a text"),
    "uuid": (UUID, "a UUID"),
    "date-time": (datetime, "a time, as in ISO 8601"),
    "date": (date, "a day, as in ISO 8601"),
    "time": (time, "a time of day, as in ISO 8601"),
    "duration": (timedelta, "a length of time, as in ISO 8601"),
}
_SINGLE: Mapping[type, tuple[Any, str]] = {
    inspect.NoneType: (None, ""),
    inspect.BoolType: (bool, ""),
    inspect.IntType: (int, ""),
    inspect.FloatType: (float, ""),
    inspect.StrType: (str, ""),
    inspect.DecimalType: OF_TEXT["decimal"],
    inspect.UUIDType: OF_TEXT["uuid"],
    inspect.DateTimeType: OF_TEXT["date-time"],
    inspect.DateType: OF_TEXT["date"],
    inspect.TimeType: OF_TEXT["time"],
    inspect.TimeDeltaType: OF_TEXT["duration"],
    inspect.BytesType: (bytes, "bytes, as base64"),
    inspect.ByteArrayType: (bytes, "bytes, as base64"),
    inspect.MemoryViewType: (bytes, "bytes, as base64"),
}
_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz")
# Types of defaults that can be written in a signature.
_SIMPLE = (type(None), bool, int, float, str)


class Plain:
    """Makes plain types. `taken` are names that no struct may have."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._made: dict[Any, list[tuple[Any, Struct]]] = {}
        self._under_way: list[Any] = []
        # The values of literals in the order in which they were written: msgspec sorts them.
        self._orders: dict[frozenset[Any], tuple[Any, ...]] = {}

    def name(self, wanted: str, before: str = "") -> str:
        """A free name: the one that is wanted, or with `before` in front, or with a number behind."""
        name, number = wanted, 1
        if name in self._taken and before:
            wanted = name = before + wanted
        while name in self._taken:
            number += 1
            name = f"{wanted}{number}"
        self._taken.add(name)
        return name

    def message(self, shape: Struct, name: str, *, is_sent: bool, bases: tuple[type, ...] = ()) -> Struct:
        """The struct of a command, a query or an event; `name` must be free."""
        described = inspect.type_info(shape)
        assert isinstance(described, inspect.StructType)
        return self._struct(name, self._fields(described, "", is_sent=is_sent), described, bases=bases)

    def kind(self, kind: Any, before: str, *, is_sent: bool) -> Any:
        """The plain type. Structs in it keep their names, with `before` in front if a name is taken."""
        self._note_orders(kind)
        return self._of(inspect.type_info(kind), before, is_sent)

    def _of(self, described: inspect.Type, before: str, is_sent: bool) -> Any:
        of: Callable[[inspect.Type], Any] = lambda one: self._of(one, before, is_sent)  # noqa: E731
        if type(described) in _SINGLE:
            return _bounded(described, *_SINGLE[type(described)])
        match described:
            case inspect.Metadata(type=inner, extra_json_schema=said):
                return _said(of(inner), said or {})
            case inspect.StructType(fields=fields, array_like=True, tag=tag):
                tags = [] if tag is None else [Literal[tag]]
                return _generic(tuple, *tags, *(of(one.type) for one in fields))
            case inspect.EnumType(cls=cls):
                return _literal(tuple(one.value for one in cls))
            case inspect.LiteralType(values=values):
                return _literal(self._orders.get(frozenset(values), values))
            case inspect.UnionType(types=types):
                return _joined([of(one) for one in types])
            case inspect.SetType(item_type=item):
                return _bounded(described, _generic(set, of(item)), "")
            case inspect.FrozenSetType(item_type=item):
                return _bounded(described, _generic(frozenset, of(item)), "")
            case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
                return _bounded(described, _generic(tuple, of(item), ...), "")
            case inspect.TupleType(item_types=items):
                return _generic(tuple, *map(of, items))
            case inspect.NamedTupleType(fields=fields):
                return _generic(tuple, *(of(one.type) for one in fields))
            case inspect.DictType(key_type=key, value_type=value):
                return _bounded(described, _generic(dict, of(key), of(value)), "")
            case inspect.FrozenDictType(key_type=key, value_type=value):
                return _bounded(described, _generic(dict, of(key), of(value)), "")
            case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType():
                return self._inner(described, before, is_sent)
        return Any

    def _inner(self, described: Any, before: str, is_sent: bool) -> Any:
        cls = described.cls
        if cls in self._under_way:
            # A type within itself is not described any further.
            return Any
        self._under_way.append(cls)
        fields = self._fields(described, before, is_sent=is_sent)
        self._under_way.pop()
        known = self._made.setdefault(cls, [])
        for others, struct in known:
            if others == fields:
                return struct
        name = self.name((get_origin(cls) or cls).__name__ + ("Body" if known and is_sent else ""), before)
        struct = self._struct(name, fields, described)
        known.append((fields, struct))
        return struct

    def _fields(self, described: Any, before: str, *, is_sent: bool) -> list[Any]:
        cls = get_origin(described.cls) or described.cls
        for hint in get_type_hints(cls, include_extras=True).values():
            self._note_orders(hint)
        config = getattr(cls, "__struct_config__", None)
        # Fields with a default may be missing in what is sent. In an answer they may be if its struct leaves
        # out defaults, or it is no struct.
        leaves_out = is_sent or config is None or config.omit_defaults
        return [
            (
                one.name if not keyword.iskeyword(one.name) else f"{one.name}_",
                *_with_default(self._of(one.type, before, is_sent), one, may_be_missing=leaves_out),
            )
            for one in described.fields
        ]

    def _note_orders(self, hint: Any) -> None:
        if get_origin(hint) is Literal:
            self._orders.setdefault(frozenset(get_args(hint)), get_args(hint))
        else:
            for one in get_args(hint):
                self._note_orders(one)

    @staticmethod
    def _struct(name: str, fields: list[Any], described: Any, bases: tuple[type, ...] = ()) -> Struct:
        of_struct = isinstance(described, inspect.StructType)
        cls = get_origin(described.cls) or described.cls
        doc = cls.__doc__ or ""
        # A dataclass without a docstring has its signature as one.
        is_made = not of_struct and doc.startswith(f"{cls.__name__}(")
        return msgspec.defstruct(
            name,
            fields,
            bases=bases or (msgspec.Struct,),
            rename={
                field[0]: one.encode_name
                for field, one in zip(fields, described.fields, strict=True)
                if field[0] != one.encode_name
            },
            namespace={"__doc__": "" if is_made else doc},
            frozen=True,
            kw_only=True,
            tag=described.tag if of_struct else None,
            tag_field=described.tag_field if of_struct else None,
        )


def _literal(values: tuple[Any, ...]) -> Any:
    # Annotated with the order of its values: otherwise literals of the same values are equal, and a union
    # would keep the order of another one.
    return Annotated[Literal[values], values]


def _generic(origin: Any, *parts: Any) -> Any:
    return origin[parts]


def _bounded(described: inspect.Type, kind: Any, said: str) -> Any:
    bounds = {name: bound for name in _BOUNDS if (bound := getattr(described, name, None)) is not None}
    metas = [
        *([msgspec.Meta(**bounds)] if bounds else []),
        *([msgspec.Meta(description=said)] if said else []),
    ]
    return Annotated[(kind, *metas)] if metas else kind


def _joined(kinds: list[Any]) -> Any:
    """The union of these types. With one type beside `None` and `UNSET`, it gets that type's description."""
    joined = reduce(or_, kinds)
    something = [one for one in kinds if one not in (None, msgspec.UnsetType)]
    if len(something) == 1 and len(kinds) > 1 and (said := _described(something[0])):
        return Annotated[joined, msgspec.Meta(description=said)]
    return joined


def _said(kind: Any, said: Mapping[str, Any]) -> Any:
    """The type with the format and description of its own extra schema, which replace ours."""
    of_format, _ = OF_TEXT.get(said.get("format", ""), (None, ""))
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if of_format is not None and str in kinds:
        kind = reduce(or_, (of_format if one is str else one for one in kinds))
    told = said.get("description") or (_described(kind) if of_format is None else OF_TEXT[said["format"]][1])
    metas = [one for one in getattr(kind, "__metadata__", ()) if getattr(one, "description", None) is None]
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    metas += [msgspec.Meta(description=told)] if told else []
    return Annotated[(bare, *metas)] if metas else bare


def _described(kind: Any) -> str:
    said = (getattr(one, "description", None) for one in getattr(kind, "__metadata__", ()))
    return next(filter(None, said), "")


def _with_default(kind: Any, field: inspect.Field, *, may_be_missing: bool) -> tuple[Any, ...]:
    if field.required:
        return (kind,)
    default = field.default
    if default is not msgspec.UNSET and not may_be_missing:
        return (kind,)
    if default is msgspec.NODEFAULT and field.default_factory in (list, tuple):
        return kind, ()
    if default is msgspec.NODEFAULT and field.default_factory is dict:
        return kind, msgspec.field(default_factory=dict)
    if type(default) in _SIMPLE and (type(default) is not float or isfinite(default)):
        return kind, default
    # The client leaves the field out if it is not given; the service knows the default.
    return _joined([kind, msgspec.UnsetType]), msgspec.UNSET

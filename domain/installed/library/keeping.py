"""The values of an aggregate as plain values, which JSON gives back exactly whatever their annotations say.

A value of JSON stays as it is. Any other is an object with one member whose name begins with `$`:

    {"$decimal": "1.50"}   {"$datetime": "2026-01-01T00:00:00Z"}   {"$uuid": "…"}   {"$bytes": "…"}
    {"$tuple": […]}        {"$set": […]}                           {"$dict": [[key, value], …]}
    {"$enum": [class, member]}                                     {"$object": [class, {name: value, …}]}

Classes are looked up by name among those of the aggregate's own modules and annotations alone: a name in a
file that was tampered with imports nothing. Kept values are never changed, and share no list or dictionary
with the values that they were made of.
"""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from types import NoneType
from typing import Any
from uuid import UUID

import msgspec

_PLAIN = frozenset({str, int, float, bool, NoneType})
# Types whose values are kept as msgspec writes them into JSON, so that rows and events have the same text.
_TEXTS: Mapping[type, str] = {
    Decimal: "$decimal",
    UUID: "$uuid",
    datetime: "$datetime",
    date: "$date",
    time: "$time",
    timedelta: "$timedelta",
    bytes: "$bytes",
}
_SEQUENCES: Mapping[type, str] = {
    tuple: "$tuple",
    set: "$set",
    frozenset: "$frozenset",
    deque: "$deque",
}
_PAIRS: Mapping[type, str] = {
    dict: "$dict",
    OrderedDict: "$ordered",
    Counter: "$counter",
}
_FACTORIES: Mapping[str, Callable[[], Any]] = {
    one.__name__: one for one in (int, float, str, bool, list, dict, set, tuple, Decimal)
}
_OF_TAG: Mapping[str, type] = {
    tag: kind for kinds in (_TEXTS, _SEQUENCES, _PAIRS) for kind, tag in kinds.items()
}
# The flag of types that a `class` statement made (CPython's `object.h`): all that their instances have is in
# the dictionary and the slots.
_HEAP_TYPE = 1 << 9


class CannotKeepError(TypeError):
    """A value of a kind that cannot be kept."""


class Keeper:
    """Keeps values, and gives them back. `classes` are those whose instances it knows."""

    def __init__(self, classes: Iterable[type]) -> None:
        self.classes: dict[str, type] = {
            _name(one): one for one in classes if issubclass(one, Enum) or _is_made_of_fields(one)
        }

    def keep(self, value: Any) -> Any:
        """The plain form of a value.

        Raises:
            CannotKeepError: the class of the value, or of one that it holds, is not known.
        """
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is list:
            # Most lists hold plain values alone, and copying these takes a fraction of the time.
            if _PLAIN.issuperset(map(type, value)):
                return value.copy()
            return [self.keep(one) for one in value]
        if kind is dict and all(type(name) is str and not name.startswith("$") for name in value):
            return {name: self.keep(one) for name, one in value.items()}
        if (tag := _TEXTS.get(kind)) is not None:
            return {tag: msgspec.to_builtins(value)}
        return self._tagged(value, kind)

    def use(self, kept: Any) -> Any:
        """The value of a plain form, as a new object that may be changed."""
        kind = type(kept)
        if kind in _PLAIN:
            return kept
        if kind is list:
            return kept.copy() if _PLAIN.issuperset(map(type, kept)) else [self.use(one) for one in kept]
        if (tagged := _tag_of(kept)) is None:
            return {name: self.use(one) for name, one in kept.items()}
        tag, inner = tagged
        original = _OF_TAG.get(tag)
        if original in _TEXTS:
            return msgspec.convert(inner, original)
        if original is not None:
            parts = [self.use(one) for one in inner]
            # By way of a dictionary: a Counter would count the pairs.
            return original(dict(parts)) if original in _PAIRS else original(parts)
        return self._untagged(tag, inner)

    def told(self, kept: Any) -> Any:
        """A kept value as JSON for rows: without tags, an enum as its value, an object as its fields."""
        kind = type(kept)
        if kind in _PLAIN:
            return kept
        if kind is list:
            return [self.told(one) for one in kept]
        if (tagged := _tag_of(kept)) is None:
            return {name: self.told(one) for name, one in kept.items()}
        tag, inner = tagged
        original = _OF_TAG.get(tag)
        if original in _TEXTS:
            return inner
        if original in _SEQUENCES:
            return [self.told(one) for one in inner]
        if tag == "$enum":
            return msgspec.to_builtins(self._untagged(tag, inner))
        if tag == "$object":
            return {name: self.told(one) for name, one in inner[1].items()}
        return _mapping([self.told(pair) for pair in (inner[1] if tag == "$defaults" else inner)])

    def _tagged(self, value: Any, kind: type) -> Any:
        if (tag := _SEQUENCES.get(kind)) is not None:
            inner = [self.keep(one) for one in value]
            # Sorted, since a set has another order in each process.
            return {
                tag: sorted(inner, key=msgspec.json.encode) if isinstance(value, set | frozenset) else inner
            }
        if (tag := _PAIRS.get(kind)) is not None:
            return {tag: self._pairs(value)}
        if kind is defaultdict:
            factory = getattr(value.default_factory, "__name__", None)
            if (
                value.default_factory is not None
                and _FACTORIES.get(str(factory)) is not value.default_factory
            ):
                raise CannotKeepError(f"a defaultdict of {value.default_factory!r} cannot be kept")
            return {"$defaults": [factory, self._pairs(value)]}
        name = _name(kind)
        if self.classes.get(name) is not kind:
            raise CannotKeepError(f"a {name} cannot be kept")
        if isinstance(value, Enum):
            return {"$enum": [name, self.keep(value.value) if isinstance(value, Flag) else value.name]}
        return {"$object": [name, {one: self.keep(getattr(value, one)) for one in _field_names(value)}]}

    def _pairs(self, value: Mapping[Any, Any]) -> list[Any]:
        return [[self.keep(name), self.keep(one)] for name, one in value.items()]

    def _untagged(self, tag: str, inner: Any) -> Any:
        name, parts = inner
        if tag == "$defaults":
            pairs = [(self.use(one), self.use(other)) for one, other in parts]
            return defaultdict(None if name is None else _FACTORIES[name], pairs)
        kind: Any = self.classes[name]
        if tag == "$enum":
            return kind(self.use(parts)) if issubclass(kind, Flag) else kind[parts]
        values = {one: self.use(part) for one, part in parts.items()}
        if issubclass(kind, tuple | msgspec.Struct):
            return kind(**values)
        made = object.__new__(kind)
        for one, part in values.items():
            # A frozen class refuses plain assignments.
            object.__setattr__(made, one, part)
        return made


def is_changeable(value: Any) -> bool:
    """Whether a value can be changed in place."""
    return type(value) not in _PLAIN and type(value) not in _TEXTS and not isinstance(value, Enum)


def _tag_of(kept: dict[str, Any]) -> tuple[str, Any] | None:
    if len(kept) == 1:
        (found,) = kept.items()
        if found[0].startswith("$"):
            return found
    return None


def _mapping(pairs: list[list[Any]]) -> Any:
    """Pairs as an object, if all names are texts or integers; else as they are."""
    if all(type(name) in (str, int) for name, _ in pairs):
        return {str(name): value for name, value in pairs}
    return pairs


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _field_names(value: Any) -> Iterable[str]:
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if isinstance(value, tuple):
        names: tuple[str, ...] = value._fields  # type: ignore[attr-defined]
        return names
    if is_dataclass(value):
        return [one.name for one in fields(value) if hasattr(value, one.name)]
    return list(vars(value))


def _is_made_of_fields(kind: type) -> bool:
    """Whether the instances of a class have nothing but fields, unlike those of a list or an exception."""
    if issubclass(kind, msgspec.Struct) or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return True
    if not all(one is object or one.__flags__ & _HEAP_TYPE for one in kind.__mro__):
        return False
    return is_dataclass(kind) or kind.__dictoffset__ != 0

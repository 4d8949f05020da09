"""The names of installed aggregates' types in the documents of the contract: `names_of_others`.

The author of an aggregate does not know the types of our aggregates, nor of other packages. So each type of
an installed aggregate has the table's name in front of its own: a `Line` of `orders` is `OrdersLine`. Types
are described differently when sent and when answered, so one that is in both has a second name,
`OrdersLineBody`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import msgspec
from msgspec import inspect

from domain.catalogue import COMMANDS, INSTALLED
from domain.decider import Decider
from projections.tables import TABLES

# The endings of names made from a row's name: the row, the page of rows, the union of the table's events, and
# the page of these events.
OF_ROWS = ("", "Page", "Event", "EventPage")

# A struct, a dataclass, a typed dictionary, a named tuple or an enumeration, and whether it is sent.
Use = tuple[Any, bool]


def names_of_others(
    titles: Mapping[str, str], queries: Mapping[str, Any], taken: set[str], known: set[Use]
) -> dict[Use, str]:
    """The names of all types of installed aggregates that have no name from a query, command or event.

    `titles` are the beginnings of the names by table, `queries` the structs of all queries by name. Names in
    `taken` are not used; uses in `known` need no name.
    """
    named = dict.fromkeys(known, "")
    names: dict[Use, str] = {}

    def add(use: Use, wanted: str, endings: tuple[str, ...] = ("",)) -> None:
        if use in named or use in names:
            return
        name, number = wanted, 1
        while any(name + ending in taken for ending in endings):
            number += 1
            name = f"{wanted}{number}"
        taken.update(name + ending for ending in endings)
        names[use] = name

    for one in INSTALLED:
        decider, title = one.decider, titles[one.decider.table]
        table = TABLES[decider.table]
        for shape in (table.shape, table.listed):
            add((shape, False), title + class_name(shape).removesuffix("Row"), OF_ROWS)
        for kind in (kind for shape in _answered(decider) for kind in named_in(shape)):
            add((kind, False), title + class_name(kind))
        for kind in (kind for shape in _sent(decider, queries) for kind in named_in(shape)):
            is_enumeration = inspect.EnumType is type(inspect.type_info(kind))
            # An enumeration is the same when sent and when answered.
            if is_enumeration and (kind, False) in names:
                names[kind, True] = names[kind, False]
            else:
                ending = "Body" if (kind, False) in names else ""
                add((kind, True), f"{title}{class_name(kind)}{ending}")
    return names


def class_name(kind: Any) -> str:
    """The name of a class, with the names of its type parameters in front, if it has any."""
    return "".join(map(class_name, get_args(kind))) + str((get_origin(kind) or kind).__name__)


def named_in(kind: Any) -> Iterator[Any]:
    """Each class inside a type that has a component of its own, once."""
    waiting: list[Any] = [inspect.type_info(kind)]
    seen: set[Any] = set()
    while waiting:
        one = waiting.pop(0)
        cls = getattr(one, "cls", None)
        if not isinstance(one, inspect.Type | inspect.Field) or (cls is not None and cls in seen):
            continue
        if cls is not None and not isinstance(one, inspect.CustomType):
            seen.add(cls)
            yield cls
        for name in one.__struct_fields__:
            held = getattr(one, name)
            waiting += held if isinstance(held, tuple) else (held,)


def _answered(decider: Decider) -> Iterator[Any]:
    table = TABLES[decider.table]
    yield from (table.shape, table.listed)
    yield from (verb.result for verb in decider.verbs if not verb.internal and verb.result is not None)
    yield from decider.events.values()


def _sent(decider: Decider, queries: Mapping[str, type[msgspec.Struct]]) -> Iterator[Any]:
    before = f"{decider.table}."
    yield from (verb.command for name, verb in COMMANDS.items() if name.startswith(before))
    yield from (shape for name, shape in queries.items() if name.startswith(before))

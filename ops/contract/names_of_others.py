"""What the shapes of others are called in the documents of the contract: `names_of_others`.

Whoever brings an aggregate knows nothing of what ours and those of a third are made of. So whatever is in a
table of others has the table's name in front of its own: a `Line` of `orders` is `OrdersLine`. What is sent
and answered is described differently, so a shape that is in both has a second name, `OrdersLineBody`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import msgspec
from msgspec import inspect

from domain.catalogue import COMMANDS, INSTALLED
from domain.decider import Decider
from projections.tables import TABLES

# What is made of a row's name: the page of rows, the union of the table's events, and the page of these.
OF_ROWS = ("", "Page", "Event", "EventPage")

# A struct, a dataclass, a typed dictionary, a named tuple or an enumeration, and whether it is sent.
Use = tuple[Any, bool]


def names_of_others(
    titles: Mapping[str, str], queries: Mapping[str, Any], taken: set[str], known: set[Use]
) -> dict[Use, str]:
    """The names of all shapes of others that no query, command or type of event gives a name.

    `titles` are what the names in a table begin with, `queries` all queries' structs by name. The names that
    are `taken` no shape gets, and the uses that are `known` need none.
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
            # An enumeration is the same whichever way it goes.
            if is_enumeration and (kind, False) in names:
                names[kind, True] = names[kind, False]
            else:
                ending = "Body" if (kind, False) in names else ""
                add((kind, True), f"{title}{class_name(kind)}{ending}")
    return names


def class_name(kind: Any) -> str:
    """The name of a class, with those of its parameters in front where it has some."""
    return "".join(map(class_name, get_args(kind))) + str((get_origin(kind) or kind).__name__)


def named_in(kind: Any) -> Iterator[Any]:
    """Each class that a type is made of and that has a component of its own, once."""
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

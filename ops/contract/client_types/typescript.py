"""The types of the TypeScript client: `source` for our own aggregates, `source_beside` for installed ones.

They are interfaces of all messages and answers, and maps of those that belong together: a command's body and
result, a query's body and answer, a table's events and their data.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from bus.contract.log_answers import CloudEvent, EventPage
from bus.serving.queries.reading import QueryVerb
from domain.catalogue import COMMANDS, DECIDERS, TIMELINE_FORKED, TimelineForked
from domain.component_names import component_name
from domain.decider import Verb
from domain.messages import Event
from ops.contract.client_types.brought import brought
from ops.contract.client_types.plain import Struct
from ops.contract.client_types.python.shapes import structs_in
from ops.contract.queries import query_verbs
from projections.table import Count, CountedValue, GroupedCount, RowPage

# The beginning of the type of a CloudEvent.
EVENT_TYPES = "hyperpage."
_SIMPLE: Mapping[Any, str] = {
    NoneType: "null",
    Any: "unknown",
    msgspec.Raw: "unknown",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    **dict.fromkeys((Decimal, UUID, datetime, date, time, timedelta, bytes), "string"),
}
# The structs that such a file imports from the client; and all names that it must not use.
_SHARED: Mapping[Any, str] = {one: one.__name__ for one in (Count, CountedValue, GroupedCount, EventPage)}
_TAKEN = (*_SHARED.values(), "Page", "Commands", "Queries", "Events", "Record")
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
Named = Mapping[Any, str]


def source() -> str:
    """The module `types.ts`."""
    return "\n".join(_own()) + "\n"


def source_beside(tables: Sequence[str], made_by: str) -> str:
    """A module that adds these tables, or all installed ones, to the client's types.

    `made_by` is the command in its first comment.

    Raises:
        UnknownTableError: there is no table of that name.
    """
    found = brought(tables, _TAKEN, _query_name)
    names = ", ".join(f"`{one.name}`" for one in found)
    verbs = {name: verb for one in found for name, verb in one.verbs.items()}
    queries = {name: query for one in found for name, query in one.queries.items()}
    sent, answered = _structs(verbs, queries, {})
    for event in (kind for one in found for kind in one.events.values()):
        structs_in(event, answered)
    bodies = [one.command for one in verbs.values()] + [one.shape for one in queries.values()]
    told = [shape for shape in answered if shape not in _SHARED and shape is not RowPage]
    # Each of these structs has a unique name already.
    named = {**{shape: shape.__name__ for shape in (*sent, *told, *bodies)}, **_SHARED}
    within = [shape for shape in sent if shape not in bodies and shape not in answered]
    text = f"""The commands, queries, rows and events of {names}, with types.

The client's methods know them wherever this file is compiled, too.
Made by `{made_by}`: change the aggregates, and make it anew."""
    body = [
        *(line for shape in (*within, *bodies) for line in _interface(shape, named, is_sent=True)),
        *(line for shape in told for line in _interface(shape, named, is_sent=False)),
        "",
        'declare module "hyperpage-client" {',
        *(f"  {line}" for line in _commands(verbs, named, "interface")),
        "",
        *(f"  {line}" for line in _queries(queries, named, "interface")),
        "",
        *(f"  {line}" for line in _events({one.name: one.events for one in found}, named, "interface")),
        "}",
    ]
    used = set(re.findall(r"\w+", "\n".join(body)))
    shared = ", ".join(sorted(used & {*_SHARED.values(), "Page"}))
    taken = f'import type {{ {shared} }} from "hyperpage-client";'
    return "\n".join([*_comment(text, ""), taken, *body]) + "\n"


def _own() -> Iterator[str]:
    queries = query_verbs(lambda *_: None, lambda: 0)
    sent, answered = _structs(COMMANDS, queries, {CloudEvent: None})
    bodies = {verb.command: component_name(name) for name, verb in COMMANDS.items()}
    bodies |= {query.shape: _query_name(name) for name, query in queries.items()}
    events = {kind: component_name(name) for one in DECIDERS for name, kind in one.events.items()}
    events[TimelineForked] = component_name(TIMELINE_FORKED)
    for event in events:
        structs_in(event, answered)
    told = [shape for shape in answered if not _is_generic(shape) and shape is not Event]
    within = [shape for shape in sent if shape not in bodies and shape not in told]
    named = _names(within, [shape for shape in told if shape not in events]) | bodies | events
    yield "/** What is sent and answered, made of the service's own: `make client`. */"
    for shape in (*within, *bodies):
        yield from _interface(shape, named, is_sent=True)
    for shape in told:
        yield from _interface(shape, named, is_sent=False)
    yield from ("", "/** A part of a list, in the order of the keys; `next` is what to pass as `after`. */")
    yield from ("export interface Page<Row> {", "  items: Row[];", "  next: string | number | null;", "}")
    yield from ("", "/** Each command's body and result. */")
    yield from _commands(COMMANDS, named, "export interface")
    yield from ("", "/** Each query's body and answer. */")
    yield from _queries(queries, named, "export interface")
    yield from ("", "/** Each table's events, and what they say, by their types. */")
    yield from _events({one.table: one.events for one in DECIDERS}, named, "export interface")
    yield "export type TableName = keyof Events;"
    for kind, of_all, parts in (("Command", "Commands", "Body Result"), ("Query", "Queries", "Body Answer")):
        yield from ("", f"export type {kind}Name = keyof {of_all};")
        for part in parts.split():
            yield f'export type {kind}{part}<Name extends {kind}Name> = {of_all}[Name]["{part.lower()}"];'


def _query_name(name: str) -> str:
    return f"{component_name(name)}Query"


def _structs(
    verbs: Mapping[str, Verb], queries: Mapping[str, QueryVerb], answered: dict[Struct, None]
) -> tuple[dict[Struct, None], dict[Struct, None]]:
    """The structs that are sent, except commands, and those of answers, which begin with `answered`."""
    sent: dict[Struct, None] = {}
    for verb in verbs.values():
        structs_in(verb.command, sent)
        structs_in(verb.result, answered)
    for query in queries.values():
        structs_in(query.shape, sent)
        structs_in(query.gives, answered)
    return sent, answered


def _commands(verbs: Mapping[str, Verb], named: Named, opening: str) -> Iterator[str]:
    yield f"{opening} Commands {{"
    for name, verb in verbs.items():
        result = "null" if verb.result is None else _type(verb.result, named)
        yield f'  "{name}": {{ body: {named[verb.command]}; result: {result} }};'
    yield "}"


def _queries(queries: Mapping[str, QueryVerb], named: Named, opening: str) -> Iterator[str]:
    yield f"{opening} Queries {{"
    for name, query in queries.items():
        yield f'  "{name}": {{ body: {named[query.shape]}; answer: {_type(query.gives, named)} }};'
    yield "}"


def _events(tables: Mapping[str, Mapping[str, Struct]], named: Named, opening: str) -> Iterator[str]:
    yield f"{opening} Events {{"
    for table, events in tables.items():
        yield f"  {table}: {{"
        yield from (f'    "{EVENT_TYPES}{name}": {named[kind]};' for name, kind in events.items())
        yield "  };"
    yield "}"


def _is_generic(shape: Struct) -> bool:
    return bool(getattr(shape, "__parameters__", ()))


def _names(*groups: Iterable[Struct]) -> dict[Struct, str]:
    """A unique name for each struct; the second of two equal names gets its module's in front."""
    named: dict[Struct, str] = {}
    for shape in (shape for group in groups for shape in group):
        name = shape.__name__
        if name in named.values():
            name = component_name(shape.__module__.split(".")[1]) + name
        named[shape] = name
    return named


def _interface(shape: Struct, named: Named, *, is_sent: bool) -> Iterator[str]:
    yield from ("", *_comment(shape.__doc__ or "", ""), f"export interface {named[shape]} {{")
    config = shape.__struct_config__
    if config.tag is not None and config.tag_field is not None:
        yield f"  {_member(config.tag_field)}: {msgspec.json.encode(config.tag).decode()};"
    hints = get_type_hints(shape, include_extras=True)
    for field in msgspec.structs.fields(shape):
        kind = hints[field.name]
        yield from _comment(_said_of(kind), "  ")
        # A field with a default is left out of an answer if it has that value.
        is_optional = not field.required
        mark = "?" if is_optional else ""
        null = " | null" if is_sent and is_optional and _may_be_nothing(kind) else ""
        yield (
            f"  {_member(field.encode_name)}{mark}: {_without_null(_type(kind, named))}{null};"
            if is_optional
            else (f"  {_member(field.encode_name)}: {_type(kind, named)};")
        )
    yield "}"


def _member(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else msgspec.json.encode(name).decode()


def _without_null(written: str) -> str:
    return " | ".join(part for part in written.split(" | ") if part != "null") or "null"


def _may_be_nothing(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _may_be_nothing(get_args(kind)[0])
    return NoneType in get_args(kind)


def _said_of(kind: Any) -> str:
    metas = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    return next((one.description for one in metas if isinstance(one, msgspec.Meta) and one.description), "")


def _comment(text: str, indent: str) -> Iterator[str]:
    lines = cleandoc(text).replace("*/", "* /").split("\n") if text else []
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield from (f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */")


def _type(kind: Any, named: Named) -> str:
    write: Callable[[Any], str] = lambda part: _type(part, named)  # noqa: E731
    parts = get_args(kind)
    match get_origin(kind):
        case None:
            return named.get(kind) or _SIMPLE[kind]
        case origin if origin is Annotated:
            return write(parts[0])
        case origin if origin is Literal:
            return " | ".join(msgspec.json.encode(part).decode() for part in parts)
        case origin if origin in (Union, UnionType):
            written = [write(part) for part in parts if part is not msgspec.UnsetType]
            return " | ".join(dict.fromkeys(written))
        case origin if origin is tuple and parts[-1] is not Ellipsis:
            return f"[{', '.join(map(write, parts))}]"
        case origin if origin in (tuple, list, set, frozenset):
            item = write(parts[0])
            return f"({item})[]" if "|" in item else f"{item}[]"
        case origin if origin is dict:
            return f"Record<string, {write(parts[1])}>"
        case _:
            return f"Page<{write(parts[0])}>"

"""Writes the types of the TypeScript client that the catalogue says: `make client`.

Interfaces of all that is sent and answered, and what belongs together: a command's body and its result, a
query's body and its answer, a table's events and their data.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from bus.contract.log_answers import CloudEvent
from domain.catalogue import COMMANDS, DECIDERS, TIMELINE_FORKED, TimelineForked
from domain.messages import Event
from ops.contract.components import component_name
from ops.contract.queries import query_verbs
from supply.python_client.shapes import Struct, structs_in

TYPES = Path(__file__).parents[1] / "clients/typescript/src/types.ts"
# What the type of a CloudEvent begins with.
EVENT_TYPES = "hyperpage."
_SIMPLE: Mapping[Any, str] = {
    NoneType: "null",
    Any: "unknown",
    msgspec.Raw: "unknown",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
}
Named = Mapping[Struct, str]


def source() -> str:
    """The module `types.ts`."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    queries = query_verbs(lambda *_: None, lambda: 0)
    sent: dict[Struct, None] = {}
    answered: dict[Struct, None] = {CloudEvent: None}
    for verb in COMMANDS.values():
        structs_in(verb.command, sent)
        structs_in(verb.result, answered)
    for query in queries.values():
        structs_in(query.shape, sent)
        structs_in(query.gives, answered)
    events = {kind: component_name(name) for one in DECIDERS for name, kind in one.events.items()}
    events[TimelineForked] = component_name(TIMELINE_FORKED)
    for event in events:
        structs_in(event, answered)
    bodies = {verb.command: component_name(name) for name, verb in COMMANDS.items()}
    bodies |= {query.shape: f"{component_name(name)}Query" for name, query in queries.items()}
    answered = {shape: None for shape in answered if not _is_generic(shape) and shape is not Event}
    within = [shape for shape in sent if shape not in bodies and shape not in answered]
    named = _names(within, [shape for shape in answered if shape not in events]) | bodies | events
    yield "/** What is sent and answered, made of the service's own: `make client`. */"
    for shape in within:
        yield from _interface(shape, named, is_sent=True)
    for shape in bodies:
        yield from _interface(shape, named, is_sent=True)
    for shape in answered:
        yield from _interface(shape, named, is_sent=False)
    yield from ("", "/** A part of a list, in the order of the keys; `next` is what to pass as `after`. */")
    yield from ("export interface Page<Row> {", "  items: Row[];", "  next: string | number | null;", "}")
    yield from ("", "/** Each command's body and result. */", "export interface Commands {")
    for name, verb in COMMANDS.items():
        result = "null" if verb.result is None else _type(verb.result, named)
        yield f'  "{name}": {{ body: {named[verb.command]}; result: {result} }};'
    yield from ("}", "", "/** Each query's body and answer. */", "export interface Queries {")
    for name, query in queries.items():
        yield f'  "{name}": {{ body: {named[query.shape]}; answer: {_type(query.gives, named)} }};'
    yield from (
        "}",
        "",
        "/** Each table's events, and what they say, by their types. */",
        "export interface Events {",
    )
    for decider in DECIDERS:
        yield f"  {decider.table}: {{"
        yield from (f'    "{EVENT_TYPES}{name}": {events[kind]};' for name, kind in decider.events.items())
        yield "  };"
    yield from ("}", "export type TableName = keyof Events;")
    for kind, of_all, parts in (("Command", "Commands", "Body Result"), ("Query", "Queries", "Body Answer")):
        yield from ("", f"export type {kind}Name = keyof {of_all};")
        for part in parts.split():
            yield f'export type {kind}{part}<Name extends {kind}Name> = {of_all}[Name]["{part.lower()}"];'


def _is_generic(shape: Struct) -> bool:
    return bool(getattr(shape, "__parameters__", ()))


def _names(*groups: Iterable[Struct]) -> dict[Struct, str]:
    """A name for each; of two that are called the same, the module of the second one tells them apart."""
    named: dict[Struct, str] = {}
    for shape in (shape for group in groups for shape in group):
        name = shape.__name__
        if name in named.values():
            name = component_name(shape.__module__.split(".")[1]) + name
        named[shape] = name
    return named


def _interface(shape: Struct, named: Named, *, is_sent: bool) -> Iterator[str]:
    yield from ("", *_comment(shape.__doc__ or "", ""), f"export interface {named[shape]} {{")
    hints = get_type_hints(shape, include_extras=True)
    for field in msgspec.structs.fields(shape):
        kind = hints[field.name]
        yield from _comment(_said_of(kind), "  ")
        # In an answer, what has a default is left out where it holds that.
        is_optional = not field.required
        mark = "?" if is_optional else ""
        null = " | null" if is_sent and is_optional and _may_be_nothing(kind) else ""
        yield (
            f"  {field.encode_name}{mark}: {_without_null(_type(kind, named))}{null};"
            if is_optional
            else (f"  {field.encode_name}: {_type(kind, named)};")
        )
    yield "}"


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
        case origin if origin in (tuple, list):
            item = write(parts[0])
            return f"({item})[]" if "|" in item else f"{item}[]"
        case origin if origin is dict:
            return f"Record<string, {write(parts[1])}>"
        case _:
            return f"Page<{write(parts[0])}>"


def main() -> None:
    TYPES.write_text(source(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Checks before an aggregate is served beside others: names that are free, structs that can be written."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from domain.component_names import component_name
from domain.decider import Decider
from domain.installed.error import AggregateError
from domain.installed.loading import Installed
from domain.installed.reserved import KEYWORDS, RESERVED, RESERVED_BEGINNINGS, RESERVED_ENDINGS
from domain.messages import Command, Event

# A table's name stands in subjects, paths, SQL and names of macros.
TABLE_NAME = re.compile(r"[a-z](?:_?[a-z0-9]){0,47}")
VERB_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
EVENT_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\.v[1-9][0-9]*")
# The queries of every table. Their names stand in the same paths as those of commands.
QUERIES = frozenset({"get", "list", "count", "history", "as_of"})
MAXIMUM_VERBS = 100
_KNOWN_TYPES = (
    "use types that msgspec knows: numbers, texts, times, enumerations, structs, collections of these"
)
# Defaults that are not tried as JSON: they are JSON already, or are never written.
_UNWRITTEN = (msgspec.Raw, msgspec.UnsetType, type(msgspec.NODEFAULT))
_RENAME = "give it another name: docs/your-own-aggregates.md says which ones are free"


def admitted(own: Sequence[Decider], others: Iterable[Installed]) -> tuple[Decider, ...]:
    """All deciders, ours first, after each of the others was checked.

    Raises:
        AggregateError: one of them cannot be served beside those before it.
    """
    # Our own are not checked in each process: a test passes them to this function as others.
    found = [Installed(decider=one, source=f"{one.table}, a table of this program") for one in own]
    tables = {one.decider.table: "this program itself" for one in found}
    events = {name: one.source for one in found for name in one.decider.events}
    classes = {event for one in found for event in one.decider.events.values()}
    commands = {one.decider.command_name(verb): one.source for one in found for verb in one.decider.verbs}
    structs = {verb.command: one.decider.command_name(verb) for one in found for verb in one.decider.verbs}
    named = {component: said for one in own for said, component in _in_documents(one)}
    for one in others:
        decider = one.decider
        for reason, hint in _objections(decider, tables, events, classes):
            raise AggregateError(one.source, reason, hint)
        for verb in decider.verbs:
            if (name := decider.command_name(verb)) in commands:
                raise AggregateError(
                    one.source, f"there is a command {name} already, of {commands[name]}", _RENAME
                )
            commands[name] = one.place
            if (first := structs.setdefault(verb.command, name)) != name:
                struct = verb.command.__name__
                raise AggregateError(
                    one.source,
                    f"{first} and {name} have one command, {struct}",
                    "give each a struct of its own; with the same fields, it is"
                    f" `class Other({struct}, frozen=True, kw_only=True)`",
                )
        for said, component in _in_documents(decider):
            if (first := named.setdefault(component, said)) != said:
                both = f"{first} and {said} would both be {component} in documents"
                raise AggregateError(one.source, both, _RENAME)
        tables[decider.table] = one.place
        events |= dict.fromkeys(decider.events, one.place)
        classes |= set(decider.events.values())
        found.append(one)
    # Last, when all events are known, since a decision may have events of several tables.
    for one in found[len(own) :]:
        _require_known_events(one.source, one.decider, classes)
    return tuple(one.decider for one in found)


def table_objections(name: str, taken: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The reasons why a table cannot have this name, each with a hint.

    `taken` are the names in use, each with what uses it.
    """
    if not TABLE_NAME.fullmatch(name):
        yield f"{name!r} is no name of a table", "it has 1 to 48 of a-z, 0-9 and single _, a letter first"
    if name in taken:
        yield f"the name {name} is taken by {taken[name]}", _RENAME
    if name in RESERVED or name.startswith(RESERVED_BEGINNINGS) or name.endswith(RESERVED_ENDINGS):
        of_whom = "SQL" if name in KEYWORDS else "what this program makes beside the tables"
        yield f"the name {name} is taken by {of_whom}", _RENAME


def _in_documents(decider: Decider) -> Iterator[tuple[str, str]]:
    """The commands, queries and events of an aggregate, with their names in documents and clients' types."""
    for verb in decider.verbs:
        if not verb.internal:
            name = decider.command_name(verb)
            for ending in ("", "Body", "Answer"):
                yield f"the command {name}", component_name(name) + ending
    for query in QUERIES:
        name = f"{decider.table}.{query}"
        yield f"the query {name}", component_name(name)
    for name in decider.events:
        for ending in ("", "Event"):
            yield f"the event {name}", component_name(name) + ending


def _objections(
    decider: Decider, tables: Mapping[str, str], events: dict[str, str], classes: set[type[Event]]
) -> Iterator[tuple[str, str]]:
    yield from table_objections(decider.table, tables)
    events_of: Mapping[str, Any] = decider.events
    for name, event in events_of.items():
        if not EVENT_NAME.fullmatch(name):
            yield f"{name!r} is no type of event", "it is like basket.item_added.v1"
        if name in events:
            yield f"the event type {name} is that of {events[name]}", _RENAME
        if not (isinstance(event, type) and issubclass(event, Event)):
            yield f"{event!r} of {name} is no Event", "derive it from domain.messages.Event"
        if event in classes or list(events_of.values()).count(event) > 1:
            yield f"{event.__name__} stands under two types of event", "give each type a struct of its own"
        yield from _unwritable(event, f"the event {name}")
    yield from _upcasters(decider, events)
    yield from _unwritable(decider.state, "its state")
    yield from _verbs(decider)


def _upcasters(decider: Decider, events: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    hint = "a step leads from a type that there was to the next one, and the last one is in `events`"
    for old in decider.upcasters:
        if old in events or old in decider.events or not EVENT_NAME.fullmatch(old):
            yield f"there is an upcaster from {old}, which is no type of its own that there was", hint
        seen, newest = set[str](), old
        while newest in decider.upcasters and newest not in seen:
            seen.add(newest)
            newest = decider.upcasters[newest][0]
        if newest not in decider.events:
            yield f"the upcaster from {old} leads to {newest}, which is none of its events", hint


def _verbs(decider: Decider) -> Iterator[tuple[str, str]]:
    names = [verb.name for verb in decider.verbs]
    if not names or len(names) > MAXIMUM_VERBS:
        yield f"it has {len(names)} verbs", f"an aggregate has 1 to {MAXIMUM_VERBS}"
    by_method: dict[str, str] = {}
    for verb in decider.verbs:
        if verb.method is not None and by_method.setdefault(verb.method, verb.name) != verb.name:
            both = f"{by_method[verb.method]} and {verb.name}"
            yield f"{both} stand for {verb.method}", "one verb of a table stands for a method at most"
        if not VERB_NAME.fullmatch(verb.name) or names.count(verb.name) > 1:
            yield f"{verb.name!r} is no name of a verb, or there twice", "it is like add_item"
        if verb.name in QUERIES:
            yield f"{verb.name} is a query that every table has", _RENAME
        command: Any = verb.command
        if not (isinstance(command, type) and issubclass(command, Command)):
            yield f"the command of {verb.name} is no Command", "derive it from domain.messages.Command"
        yield from _unwritable(verb.command, f"the command {verb.name}")


def _require_known_events(source: str, decider: Decider, known: set[type[Event]]) -> None:
    for verb in decider.verbs:
        if unknown := [event for event in verb.events if event not in known]:
            raise AggregateError(
                source,
                f"{verb.name} leads to {unknown[0]!r}, which no decider has a type for",
                "add it to the decider's `events`",
            )


def _unwritable(shape: Any, what: str) -> Iterator[tuple[str, str]]:
    """The reasons why msgspec, which encodes and decodes it, cannot do so with a struct, each with a hint."""
    if not (isinstance(shape, type) and issubclass(shape, msgspec.Struct)):
        yield f"{what} is no msgspec.Struct but {shape!r}", "make it one"
        return
    try:
        unknown = _unknown_types(inspect.type_info(shape), set())
        for field in msgspec.structs.fields(shape):
            if not isinstance(field.default, _UNWRITTEN):
                msgspec.json.encode(field.default)
    except Exception as error:
        yield f"{what} cannot be written as JSON: {error}", _KNOWN_TYPES
    else:
        if unknown is not None:
            yield f"{what} cannot be written as JSON: msgspec does not know {unknown!r}", _KNOWN_TYPES


def _unknown_types(kind: Any, seen: set[Any]) -> Any:
    """The first type within a described type that msgspec does not know; `None` if it knows all."""
    if isinstance(kind, inspect.CustomType):
        return kind.cls
    if not isinstance(kind, inspect.Type | inspect.Field) or getattr(kind, "cls", None) in seen:
        return None
    if (own := getattr(kind, "cls", None)) is not None:
        seen.add(own)
    for name in kind.__struct_fields__:
        held = getattr(kind, name)
        for one in held if isinstance(held, tuple) else (held,):
            if (unknown := _unknown_types(one, seen)) is not None:
                return unknown
    return None

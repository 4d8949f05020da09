"""JSON Schema of every command, query and event type, made from the structs that decode them."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from bus.contract.codec import Batch
from bus.serving.queries.reading import QueryVerb
from domain.catalogue import COMMANDS, DECIDERS, EVENT_TYPES, TIMELINE_FORKED, TimelineForked
from domain.decider import Verb
from domain.errors import RuleViolated
from hyperpage_client.contract.subjects import BATCH
from ops.contract.describable import Describer
from ops.contract.queries import query_verbs

# The name of an annotation beside those of JSON Schema: what a command can lead to.
LEADS_TO = "x-leads-to"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_BY_CLASS = Describer(lambda kind: str(kind.__name__))


def command_schema(name: str) -> Schema:
    """The schema of the body of a command, such as `jobs.enqueue` or `batch`.

    Raises:
        KeyError: there is no such command.
    """
    return _schema("commands", name, _commands()[name])


def schema_of(name: str) -> Schema:
    """The schema of the command, query or type of event with this name.

    Raises:
        KeyError: there is none.
    """
    for kind, structs in all_structs().items():
        if name in structs:
            return _schema(kind, name, structs[name])
    raise KeyError(name)


def all_schemas() -> dict[str, dict[str, Schema]]:
    """All schemas by name, each complete in itself: `{"commands": …, "queries": …, "events": …}`."""
    return {
        kind: {name: _schema(kind, name, struct) for name, struct in structs.items()}
        for kind, structs in all_structs().items()
    }


def all_structs() -> dict[str, Mapping[str, type[msgspec.Struct]]]:
    """The structs that the schemas are made from, by kind and name."""
    return {"commands": _commands(), "queries": _queries(), "events": _events()}


def leads_to(verb: Verb) -> Schema:
    """The declarations of a verb: events, refusals, rules, whether it has a result and is remembered.

    `invalid` and the other refusals that every command may have are left out.
    """
    with_events = "yes" if verb.empty_is_remembered else "with_events"
    return {
        "events": [name for name, event in EVENT_TYPES.items() if event in verb.events],
        "refusals": [kind.code for kind in verb.refusals] + [RuleViolated.code] * bool(verb.rules),
        "rules": list(verb.rules),
        "result": verb.result is not None,
        "remembered": with_events if verb.remembered else "no",
    }


def struct_schema(title: str, struct: type[msgspec.Struct]) -> Schema:
    """The schema of a struct, complete in itself: the structs inside it are in its `$defs`."""
    schema, definitions = described(title, struct, "#/$defs/{name}")
    return {"$schema": DIALECT, **schema} | ({"$defs": definitions} if definitions else {})


def described(
    title: str, struct: type[msgspec.Struct], ref_template: str
) -> tuple[Schema, dict[str, Schema]]:
    """The schema of a struct, and those of the structs inside it by name, referred to by `ref_template`."""
    (reference,), definitions = msgspec.json.schema_components(
        [_BY_CLASS.describable(struct)], ref_template=ref_template
    )
    own = definitions.pop(reference["$ref"].removeprefix(ref_template.removesuffix("{name}")))
    # Through JSON, which makes a list of a default that is a tuple.
    plain: tuple[Schema, dict[str, Schema]] = msgspec.json.decode(
        msgspec.json.encode(({**own, "title": title}, definitions)), type=tuple[Schema, dict[str, Schema]]
    )
    return plain


def _schema(kind: str, name: str, struct: type[msgspec.Struct]) -> Schema:
    schema = struct_schema(name, struct)
    if kind == "commands" and name != BATCH:
        # An annotation, which validators ignore.
        schema[LEADS_TO] = leads_to(COMMANDS[name])
    return schema


@cache
def _commands() -> Mapping[str, type[msgspec.Struct]]:
    named = {name: verb.command for name, verb in COMMANDS.items()}
    return {**named, BATCH: Batch}


def query_answers() -> Mapping[str, Any]:
    """The types of the queries' answers, by the queries' names."""
    return {name: verb.gives for name, verb in _query_verbs().items()}


def _queries() -> Mapping[str, type[msgspec.Struct]]:
    return {name: verb.shape for name, verb in _query_verbs().items()}


@cache
def _query_verbs() -> Mapping[str, QueryVerb]:
    # Only the declarations of these queries are used; none is carried out.
    return query_verbs(lambda table, aggregate: None, lambda: 0)


@cache
def _events() -> Mapping[str, type[msgspec.Struct]]:
    named = {name: event for decider in DECIDERS for name, event in decider.events.items()}
    return {**named, TIMELINE_FORKED: TimelineForked}
